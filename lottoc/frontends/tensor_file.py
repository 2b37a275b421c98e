"""Safetensors files, mapped into memory and written tensor by tensor.

The library of that name reads a tensor by copying it and writes a file from tensors that are all
in memory; bfloat16 it gives to torch alone. Here reading is a view and writing a stream, so that a
model of any size passes through. Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lottoc.diagnostics import InputError, input_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_HEADER = 100 << 20
"""Bytes, as the library has it."""

DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
}
_CODES = {name: code for code, name in DTYPES.items()}
_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "F16": 2, "BF16": 2, "I32": 4, "F32": 4}


@dataclass(frozen=True)
class Described:
    """A tensor without its numbers."""

    dtype: str
    """As numpy and `ml_dtypes` call it."""
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size of the numbers."""
        return math.prod(self.shape) * _BYTES.get(_CODES[self.dtype], 8)


class TensorFile:
    """An open file; nothing but its header is read before a tensor is asked for."""

    def __init__(self, path: Path) -> None:
        """Raises `InputError`: safetensors-invalid, model-not-found."""
        self.path = path
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(0)
                prefix = file.read(8)
                length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else -1
                if not 0 < length <= min(_MOST_HEADER, size - 8):
                    raise self._damaged("its header does not fit into it")
                header = json.loads(file.read(length))
        except OSError as error:
            reason = error.strerror or str(error)
            raise input_error(
                "model-not-found", f"cannot read the weights: {reason}", file=str(path)
            ) from error
        except ValueError as error:
            raise self._damaged("its header is no JSON") from error
        self._start = 8 + length
        self.metadata: dict[str, str] = header.pop("__metadata__", {})
        self._places: dict[str, tuple[Described, int]] = {}
        for name, entry in header.items():
            self._places[name] = self._place(name, entry, size)

    def _place(self, name: str, entry: Any, size: int) -> tuple[Described, int]:
        try:
            tensor = Described(DTYPES[entry["dtype"]], tuple(map(int, entry["shape"])))
            begin, end = map(int, entry["data_offsets"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(f'tensor "{name}" is of an unknown kind') from error
        if begin < 0 or end - begin != tensor.nbytes or self._start + end > size:
            raise self._damaged(f'tensor "{name}" does not fit into it')
        return tensor, self._start + begin

    def _damaged(self, what: str) -> InputError:
        return input_error(
            "safetensors-invalid",
            f"not a safetensors file, or damaged: {what}",
            file=str(self.path),
            help=["copy the file again"],
        )

    @property
    def tensors(self) -> Mapping[str, Described]:
        """What there is, by name."""
        return {name: tensor for name, (tensor, _) in self._places.items()}

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def start(self, name: str) -> int:
        """Where in the file a tensor's numbers begin, in bytes; `KeyError` if there is none."""
        return self._places[name][1]

    def get(self, name: str) -> NDArray[Any]:
        """A tensor, read-only, as a view of the mapped file; `KeyError` if there is none."""
        import numpy as np

        tensor, start = self._places[name]
        if not tensor.nbytes:
            return np.zeros(tensor.shape, numpy_dtype(tensor.dtype))
        raw = np.memmap(self.path, np.uint8, "r", start, (tensor.nbytes,))
        typed: NDArray[Any] = raw.view(np.ndarray).view(numpy_dtype(tensor.dtype))
        return typed.reshape(tensor.shape)


def numpy_dtype(name: str) -> Any:
    """The numpy type of that name; bfloat16 comes from `ml_dtypes`."""
    import numpy as np

    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def write_tensors(
    path: Path,
    tensors: Sequence[tuple[str, Described]],
    get: Callable[[str], NDArray[Any]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write tensors in that order, one in memory at a time; equal content gives equal bytes."""
    import numpy as np

    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for name, tensor in tensors:
        header[name] = {
            "dtype": _CODES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [end, end + tensor.nbytes],
        }
        end += tensor.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin where any type may begin
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, tensor in tensors:
            array = np.asarray(get(name), order="C")  # keeps a scalar one
            if array.dtype.name != tensor.dtype or array.shape != tensor.shape:
                raise ValueError(f"{name} is {array.dtype}{array.shape}, not {tensor}")
            file.write(array.reshape(-1).view(np.uint8).data)
