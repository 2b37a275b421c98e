"""Where the numbers of an ONNX tensor lie.

A tensor's payload is raw bytes in the model file, raw bytes in a file beside it (external data),
or typed protobuf fields as older exporters write them.
"""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from lottoc.diagnostics import InputError, input_error
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.protobuf import BYTES, Damaged, Message

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Extent:
    """A range of bytes of a file."""

    path: Path
    offset: int
    length: int


@dataclass(frozen=True)
class Tensor:
    """A tensor of a model: what it is, and where its payload lies.

    `extent` is None when the payload is in typed fields that cannot be read in place.
    `external` is the location of external data as the model writes it, else None.
    """

    name: str
    data_type: int
    dims: tuple[int, ...]
    message: Message
    extent: Extent | None
    external: str | None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.dims)

    def read(self) -> NDArray[np.generic]:
        """The numbers, of shape `dims` and read-only; mapped from the file where alignment allows.

        Raises `InputError` (`onnx-invalid`, `onnx-external-data`) if there are too few or too many.
        """
        from lottoc.frontends.onnx_payload import payload

        flat = payload(self)
        if flat.size != self.size:
            raise self.wrong_length(flat.nbytes)
        flat.flags.writeable = False
        return flat.reshape(self.dims)

    def check_length(self) -> None:
        """Raise `InputError` if the payload cannot hold `dims`, without reading it."""
        expected = self.size * schema.item_bytes(self.data_type)
        if self.extent is not None and self.extent.length != expected:
            raise self.wrong_length(self.extent.length)

    def wrong_length(self, found: int) -> InputError:
        """What to say of a payload of `found` bytes that does not fit `dims`."""
        itemsize = schema.item_bytes(self.data_type)
        shape = "x".join(map(str, self.dims))
        code = "onnx-invalid" if self.external is None else "onnx-external-data"
        where = "" if self.external is None else f' in "{self.external}"'
        return input_error(
            code,
            f'tensor "{self.name}" is {shape}, {self.size * itemsize} bytes, '
            f"but has {found} bytes{where}",
        )


def read_tensor(message: Message, path: Path) -> Tensor:
    """The tensor that a TensorProto of the model file `path` describes."""
    dims = tuple(message.integers(schema.Tensor.DIMS))
    name = message.text(schema.Tensor.NAME)
    if any(dim < 0 for dim in dims):
        raise Damaged(f'tensor "{name}" has a negative dimension')
    data_type = message.integer(schema.Tensor.DATA_TYPE)
    extent: Extent | None
    if message.integer(schema.Tensor.LOCATION) == 1:
        location, extent = _external(message, name, path)
        return Tensor(name, data_type, dims, message, extent, location)
    return Tensor(name, data_type, dims, message, _inline(message, data_type, path), None)


def _inline(message: Message, data_type: int, path: Path) -> Extent | None:
    """The bytes of raw data, or of packed floats, which are laid out the same."""
    places: dict[int, int] = {
        schema.DataType.FLOAT: schema.Tensor.FLOAT_DATA,
        schema.DataType.DOUBLE: schema.Tensor.DOUBLE_DATA,
    }
    for number in (schema.Tensor.RAW_DATA, places.get(data_type)):
        found = [field for field in message.fields if field.number == number]
        if len(found) == 1 and found[0].wire == BYTES:
            return Extent(path, found[0].start, found[0].end - found[0].start)
    return None


def _external(message: Message, name: str, path: Path) -> tuple[str, Extent]:
    entries = {
        entry.text(schema.Entry.KEY): entry.text(schema.Entry.VALUE)
        for entry in message.messages(schema.Tensor.EXTERNAL)
    }
    location = entries.get("location", "")
    file = _inside(path.parent, location, name)
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries["length"]) if "length" in entries else None
    except ValueError:
        offset, length = -1, None
    if offset < 0 or (length is not None and length < 0):
        raise input_error(
            "onnx-external-data",
            f'tensor "{name}" has offset "{entries.get("offset")}" and length '
            f'"{entries.get("length")}" in "{location}"',
        )
    available = _file_size(file, location, name) - offset
    length = max(available, 0) if length is None else length
    if length > available:
        raise input_error(
            "onnx-external-data",
            f'tensor "{name}" needs bytes {offset} to {offset + length} of "{location}", '
            f"which has {available + offset}",
            help=["the data file is cut off or belongs to another model: copy both files again"],
        )
    return location, Extent(file, offset, length)


def _inside(folder: Path, location: str, name: str) -> Path:
    """The file at `location`, which must lie in the model's folder, links followed."""
    pure = [PurePosixPath(location), PureWindowsPath(location)]
    escapes = any(p.is_absolute() or p.drive or ".." in p.parts for p in pure)
    if location and not escapes and "\0" not in location:
        file = folder / location
        try:
            if file.resolve().is_relative_to(folder.resolve()):
                return file
        except (OSError, RuntimeError):
            pass
    raise input_error(
        "onnx-external-data",
        f'tensor "{name}" takes its data from "{location}", outside the model\'s folder',
        help=["put the data file beside the model as a plain file, not as a link"],
    )


def _file_size(file: Path, location: str, name: str) -> int:
    try:
        status = os.stat(file)
    except OSError as error:
        raise input_error(
            "onnx-external-data",
            f'tensor "{name}" takes its data from "{location}": {error.strerror}',
            help=[f'put "{location}" into the folder of the model'],
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise input_error("onnx-external-data", f'"{location}" is not a file')
    return status.st_size
