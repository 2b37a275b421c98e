"""Files that turn one model into others: weights that lie outside of the model file, by places.

    W.core --Reshape--> flat --ScatterElements(W.swap.places, W.swap.values)--> --Reshape--> W

`places` and `values` are external data, all of them in one file beside the model. The file that
comes with it writes what is there already. Others of the same layout, one for each ticket, write
the weights that the ticket has more. onnxruntime takes the bytes of any of them for the file's
name, before it folds constants, so that the model runs as if it were dense:

    options = onnxruntime.SessionOptions()
    swap = open("core.onnx.1.swap", "rb").read()
    options.add_external_initializers_from_files_in_memory(["core.onnx.swap"], [swap], [len(swap)])
    session = onnxruntime.InferenceSession("core.onnx", options)

A layer has room for as many weights as the ticket with the most of them has there; what is left
over repeats the last one. All operators are standard from opset 11 on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx.parts import NewExternal, NewNode, NewSparse, NewTensor, tensor_of
from lottoc.backends.onnx.pruned import Content
from lottoc.backends.onnx.representation import Flat, Found, Parts
from lottoc.diagnostics import input_error
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_file import OnnxFile
from lottoc.frontends.onnx_layers import Stored, Weight
from lottoc.frontends.onnx_schema import DataType
from lottoc.frontends.onnx_tensor import Tensor
from lottoc.frontends.protobuf import Damaged

MIN_OPSET = 11
"""ScatterElements came with opset 11."""
ALIGNMENT = 64
CORE, PLACES, VALUES, SHAPE = ".core", ".swap.places", ".swap.values", ".swap.shape"
FLAT = "lottoc.flat"
SUFFIX = ".swap"


def swap_path(model: Path, number: int = 0) -> Path:
    """The file that a model takes its swapped weights from, or the one with a ticket's."""
    return model.with_name(f"{model.name}{f'.{number}' if number else ''}{SUFFIX}")


@dataclass(frozen=True)
class Room:
    """Where in a swap file the weights of one layer lie: `count` of them."""

    weight: str
    dims: tuple[int, ...]
    data_type: int
    count: int
    places: int
    values: int

    @property
    def place_type(self) -> int:
        """Of positions in the flat weight, in storage order."""
        return DataType.INT32 if int(np.prod(self.dims)) < 1 << 31 else DataType.INT64

    @property
    def end(self) -> int:
        """The byte behind it."""
        return self.values + self.count * schema.numpy_type(self.data_type).itemsize


@dataclass(frozen=True)
class Layout:
    """Rooms by the names of weights, in the order of the file."""

    rooms: Mapping[str, Room]

    @property
    def size(self) -> int:
        """Bytes of a file."""
        return max((room.end for room in self.rooms.values()), default=0)

    def read(self, data: bytes, weight: str) -> tuple[NDArray[np.int64], Flat]:
        """Places and values of a weight; raises `Damaged`."""
        room = self.rooms[weight]
        if len(data) != self.size:
            raise Damaged(f"it has {len(data)} bytes, not {self.size}")
        place_type, value_type = map(schema.numpy_type, (room.place_type, room.data_type))
        places = np.frombuffer(data, place_type, room.count, room.places).astype(np.int64)
        if places.min(initial=0) < 0 or places.max(initial=0) >= np.prod(room.dims):
            raise Damaged(f'it writes beyond "{weight}"')
        return places, np.frombuffer(data, value_type, room.count, room.values)


def added_places(core: Content, other: Content, weight: Weight) -> NDArray[np.int64]:
    """Where another ticket keeps weights that the core does not, in storage order.

    Raises `InputError` (swap-differs) if it lacks weights of the core, or has others there.
    """
    name = weight.layer.name
    kept, more = core.mask(name), other.mask(name)
    if kept is None or more is None:
        if (
            kept is not None
            or more is not None
            or not _equal(core.weight(name), other.weight(name))
        ):
            raise _differs(name, "is not pruned and not the same in both")
        return np.zeros(0, np.int64)
    if (kept & ~more).any():
        raise _differs(name, f"lacks {int((kept & ~more).sum())} weights of the core")
    own, theirs = core.weight(name), other.weight(name)
    if not _equal(own[kept], theirs[kept]):
        raise _differs(name, "has other weights where the core keeps")
    return np.flatnonzero(_storage(more & ~kept, weight))


def _storage(canonical: NDArray[np.generic], weight: Weight) -> NDArray[np.generic]:
    return (canonical.T if weight.transposed else canonical).reshape(-1)


def _equal(left: NDArray[np.generic], right: NDArray[np.generic]) -> bool:
    """The same bits."""
    same = left.dtype == right.dtype and left.shape == right.shape
    return same and left.tobytes() == right.tobytes()


def _differs(layer: str, how: str) -> Exception:
    help = ("train the specialist on the trained core, as a split block does",)
    return input_error("swap-differs", f'layer "{layer}" {how}', help=help)


def plan(core: Content, others: Sequence[Content]) -> Layout:
    """Room for the most weights that any of the tickets has more, layer by layer.

    Raises `InputError`: swap-differs; swap-empty if there is nothing to swap; onnx-format.
    """
    rooms: dict[str, Room] = {}
    offset = 0
    for weight in core.model.weights.values():
        count = max(added_places(core, other, weight).size for other in others)
        if not count:
            continue
        stored = weight.stored
        room = Room(stored.name, stored.dims, stored.data_type, count, offset, 0)
        width = schema.numpy_type(room.place_type).itemsize
        room = replace(room, values=_aligned(offset + count * width))
        rooms[stored.name], offset = room, _aligned(room.end)
    if not rooms:
        message = "no specialist keeps anything that the core does not"
        help = ("leave swap out: the core is each part's ticket already",)
        raise input_error("swap-empty", message, help=help)
    if core.model.file.opset < MIN_OPSET:
        message = f"swapped weights need opset {MIN_OPSET}, the model has {core.model.file.opset}"
        raise input_error("onnx-format", message, file=str(core.model.path))
    return Layout(rooms)


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


def contents(layout: Layout, core: Content, other: Content) -> bytes:
    """The swap file of a ticket; that of the core itself changes nothing."""
    data = bytearray(layout.size)
    for weight in core.model.weights.values():
        room = layout.rooms.get(weight.stored.name)
        if room is None:
            continue
        values = _storage(other.masked(weight.layer.name), weight)
        places = added_places(core, other, weight) if other is not core else np.zeros(0, np.int64)
        places = places if places.size else np.zeros(1, np.int64)
        padded = np.concatenate([places, np.repeat(places[-1:], room.count - places.size)])
        for start, array, kind in (
            (room.places, padded, room.place_type),
            (room.values, values[padded], room.data_type),
        ):
            written = array.astype(schema.numpy_type(kind), copy=False).tobytes()
            data[start : start + len(written)] = written
    return bytes(data)


def swappable(core: Content, layout: Layout, parts: Parts, weight: str, location: str) -> Parts:
    """The parts of a core's weight, and what writes swapped weights into it."""
    room = layout.rooms.get(weight)
    if room is None:
        return parts
    kept = _renamed(parts, weight, weight + CORE)
    shape = tensor_of(weight + SHAPE, DataType.INT64, np.array(room.dims, np.int64))
    flat = tensor_of(FLAT, DataType.INT64, np.array([-1], np.int64))
    widths = [schema.numpy_type(kind).itemsize for kind in (room.place_type, room.data_type)]
    outside = [
        NewExternal(weight + name, kind, (room.count,), location, start, room.count * width)
        for (name, kind, start), width in zip(
            ((PLACES, room.place_type, room.places), (VALUES, room.data_type, room.values)),
            widths,
            strict=True,
        )
    ]
    written = f"{weight}.swapped"
    nodes = (
        NewNode("Reshape", (weight + CORE, FLAT), f"{weight}.before"),
        NewNode(
            "ScatterElements",
            (f"{weight}.before", weight + PLACES, weight + VALUES),
            written,
        ),
        NewNode("Reshape", (written, weight + SHAPE), weight),
    )
    made = replace(
        kept,
        tensors=(*kept.tensors, shape),
        nodes=(*kept.nodes, *nodes),
        shared=tuple({t.name: t for t in (*kept.shared, flat)}.values()),
        external=tuple(outside),
    )
    _check_names(core, made)
    return made


def _renamed(parts: Parts, old: str, new: str) -> Parts:
    """The same value under another name, with what it is made from."""

    def name(said: str) -> str:
        return new + said[len(old) :] if said == old or said.startswith(f"{old}.") else said

    def tensor(one: NewTensor) -> NewTensor:
        return replace(one, name=name(one.name))

    nodes = [
        replace(node, inputs=tuple(map(name, node.inputs)), output=name(node.output))
        for node in parts.nodes
    ]
    sparse = [NewSparse(tensor(s.values), tensor(s.indices), s.dims) for s in parts.sparse]
    return replace(
        parts,
        tensors=tuple(map(tensor, parts.tensors)),
        sparse=tuple(sparse),
        nodes=tuple(nodes),
    )


def _check_names(core: Content, parts: Parts) -> None:
    new = {tensor.name for tensor in parts.tensors} | {node.output for node in parts.nodes}
    new |= {tensor.name for tensor in parts.external}
    own = {weight.stored.name for weight in core.model.weights.values()}
    clash = sorted((new & core.model.file.value_names) - own)
    if clash:
        message = f'the model already has a value called "{clash[0]}"'
        raise input_error("onnx-format", message, file=str(core.model.path))


def layout_of(file: OnnxFile) -> tuple[str, Layout] | None:
    """The name of the file that a model's swapped weights lie in, and where; None without."""
    rooms, location = {}, ""
    for name in _swapped(file):
        places, values, shape = (file.initializers[name + part] for part in (PLACES, VALUES, SHAPE))
        if places.extent is None or values.extent is None or places.external is None:
            raise Damaged(f'the swapped weights of "{name}" lie in the model')
        location = places.external
        dims = tuple(int(dim) for dim in shape.read())
        rooms[name] = Room(
            name, dims, values.data_type, values.size, places.extent.offset, values.extent.offset
        )
    return (location, Layout(rooms)) if rooms else None


def _swapped(file: OnnxFile) -> Iterator[str]:
    tensors = file.initializers
    for node in file.nodes:
        name = node.outputs[0] if node.outputs else ""
        known = all(name + part in tensors for part in (PLACES, VALUES, SHAPE))
        if known and node.name == f"Reshape:{name}" and node.inputs[:1] == [f"{name}.swapped"]:
            yield name


def swapped_weights(file: OnnxFile, found: Mapping[str, Found]) -> dict[str, Found]:
    """Weights that others are swapped into, as the file beside the model has them."""
    result = {}
    for name in _swapped(file):
        core = found.get(name + CORE)
        if core is None:
            continue
        places, values = file.initializers[name + PLACES], file.initializers[name + VALUES]
        stored = Stored(name, core.stored.data_type, core.stored.dims)
        nbytes = core.nbytes + sum(
            t.size * schema.item_bytes(t.data_type) for t in (places, values)
        )
        value = _decoder(core, places, values)
        result[name] = replace(core, stored=stored, nbytes=nbytes, value=value)
    return result


def _decoder(core: Found, places: Tensor, values: Tensor) -> Callable[[], Flat]:
    def decode() -> Flat:
        where = places.read().astype(np.int64)
        if where.min(initial=0) < 0 or where.max(initial=0) >= np.prod(core.stored.dims):
            raise Damaged(f'"{places.name}" writes beyond the weight')
        return written(core.value(), where, values.read())

    return decode


def written(weight: Flat, places: NDArray[np.int64], values: Flat) -> Flat:
    """A weight with values at some places of its flat form."""
    result = np.array(weight, order="C")
    result.reshape(-1)[places] = values
    return result
