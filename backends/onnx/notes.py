"""What lottoc notes in a file about each layer, so that the file can be checked on its own.

It is one JSON text in the model's metadata: the version, and for each layer how it is stored and
how many weights are kept; of narrower values also their type and what rounding to it changed, of
layers that multiply in int8 that they do, of
grouped layers the order that their rows and channels are stored in: nothing else in the file
tells. Without times or paths, equal inputs give equal bytes.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lottoc
from lottoc.backends.onnx.structure.moved import Moved
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_file import OnnxFile, read_entries

Order = NDArray[np.int64]

REMOVED = "removed"
"""The format of a layer that nothing needs: it is not in the file."""


@dataclass(frozen=True)
class GroupNote:
    """How a grouped layer follows from its weight `name` of storage shape `dims`.

    Row i of the canonical weight is row `rows[i]` of the convolution, and channel j of what the
    layer reads is channel `channels[j]` of what is there; None is for "the same".
    """

    weight: str
    dims: tuple[int, ...]
    transposed: bool
    rows: Order | None
    channels: Order | None


@dataclass(frozen=True)
class LayerNote:
    """A layer's format, and how many of the stored weights are kept.

    `moved` says which rows and columns of the weight are where, if any has moved. `values` is the
    type they are stored in, empty if it is their own, and `rounding` the relative
    error of that. `activations` is the type that the layer multiplies in, empty if its own.
    """

    layer: str
    format: str
    kept: int
    group: GroupNote | None = None
    values: str = ""
    rounding: float = 0.0
    moved: Moved | None = None
    activations: str = ""


def write_notes(notes: Iterable[LayerNote], files: Mapping[str, str] | None = None) -> str:
    """The text for the metadata; `files` are the digests of swap files, by name."""
    layers: dict[str, list[Any]] = {}
    orders: dict[bytes, str] = {}
    for note in notes:
        more = {} if note.group is None else _plain(note.group, note.layer, orders)
        if note.moved is not None:
            ways = {"from_rows": note.moved.rows, "from_columns": note.moved.columns}
            more |= {way: _text(order) for way, order in ways.items() if order is not None}
        if note.values:
            more |= {"values": note.values, "rounding": note.rounding}
        if note.activations:
            more |= {"activations": note.activations}
        layers[note.layer] = [note.format, note.kept, *([more] if more else [])]
    content: dict[str, Any] = {"version": lottoc.__version__, "layers": layers}
    if files:
        content["swap"] = dict(files)
    return json.dumps(content, separators=(",", ":"), sort_keys=True)


def _plain(group: GroupNote, layer: str, orders: dict[bytes, str]) -> dict[str, Any]:
    """An order that another layer's rows are in is that layer's name, after a `=`."""
    plain: dict[str, Any] = {"weight": group.weight, "dims": list(group.dims)}
    if group.transposed:
        plain["transposed"] = True
    if group.channels is not None:
        plain["channels"] = orders.get(group.channels.tobytes()) or _text(group.channels)
    if group.rows is not None:
        plain["rows"] = _text(group.rows)
        orders.setdefault(group.rows.tobytes(), f"={layer}")
    return plain


def _text(order: Order) -> str:
    small = int(order.max(initial=0)) < 1 << 16
    return base64.b64encode(order.astype("<u2" if small else "<u4").tobytes()).decode()


class DamagedNotes(Exception):
    """The notes of a file are not what lottoc writes."""


def read_notes(file: OnnxFile) -> list[LayerNote] | None:
    """The notes of a file, None if it has none; raises `DamagedNotes`."""
    text = read_entries(file.model, schema.Model.METADATA).get("lottoc")
    if text is None:
        return None
    try:
        layers = json.loads(text)["layers"]
        return [_read(name, layers) for name in layers]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedNotes from error


def read_files(file: OnnxFile) -> dict[str, str]:
    """The digests of swap files, by name; raises `DamagedNotes`."""
    text = read_entries(file.model, schema.Model.METADATA).get("lottoc")
    try:
        files = json.loads(text or "{}").get("swap", {})
        if not all(isinstance(digest, str) for digest in files.values()):
            raise TypeError("swap")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedNotes from error
    return dict(files)


def _read(name: str, layers: dict[str, Any]) -> LayerNote:
    format, kept, *rest = layers[name]
    if not isinstance(format, str) or type(kept) is not int or len(rest) > 1:
        raise TypeError(name)
    more = rest[0] if rest else {}
    values, rounding = more.get("values", ""), more.get("rounding", 0.0)
    activations = more.get("activations", "")
    if not isinstance(values, str) or not isinstance(rounding, int | float):
        raise TypeError(name)
    if not isinstance(activations, str):
        raise TypeError(name)
    group = _group(more, layers) if "weight" in more else None
    moved = None
    if "from_rows" in more or "from_columns" in more:
        moved = Moved(_permutation(more.get("from_rows")), _permutation(more.get("from_columns")))
    return LayerNote(name, format, kept, group, values, float(rounding), moved, activations)


def _permutation(text: str | None) -> Order | None:
    """An order of as many as it names."""
    if text is None:
        return None
    data = base64.b64decode(text, validate=True)
    for kind in ("<u2", "<u4"):
        if len(data) % int(kind[-1]) == 0:
            order = np.frombuffer(data, kind).astype(np.int64)
            if np.array_equal(np.sort(order), np.arange(order.size)):
                return order
    raise ValueError(text)


def _group(plain: dict[str, Any], layers: dict[str, Any]) -> GroupNote:
    dims = tuple(plain["dims"])
    if not isinstance(plain["weight"], str) or not all(type(dim) is int for dim in dims):
        raise TypeError("weight")
    shape = dims[::-1] if plain.get("transposed") else dims
    channels = plain.get("channels")
    if channels is not None and channels.startswith("="):
        channels = layers[channels[1:]][2]["rows"]
    return GroupNote(
        plain["weight"],
        dims,
        bool(plain.get("transposed")),
        _order(plain.get("rows"), shape[0]),
        _order(channels, shape[1]),
    )


def _order(text: str | None, length: int) -> Order | None:
    if text is None:
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(text) from error
    if length and len(data) == 2 * length:
        return np.frombuffer(data, "<u2").astype(np.int64)
    if len(data) != 4 * length:
        raise ValueError(f"an order of {length} has {len(data)} bytes")
    return np.frombuffer(data, "<u4").astype(np.int64)
