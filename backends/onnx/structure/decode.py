"""Rebuilds the weight of a grouped layer from a file: from its convolution, gather and note.

    channels --Gather--> --Conv(weight.groups)-->     gives back weight [out, in]

It does not share code with what lowers a layer, so that each can prove the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx.notes import GroupNote, LayerNote
from lottoc.backends.onnx.representation import Flat, Found
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_file import Node, OnnxFile
from lottoc.frontends.onnx_layers import Stored, Weight
from lottoc.frontends.protobuf import Damaged
from lottoc.signature import Layer, LayerKind


@dataclass(frozen=True)
class FoundGroups:
    """A grouped layer of a file: the layer that it is, and its weight as found.

    `rows` is how many rows a group has in the file.
    """

    weight: Weight
    found: Found
    rows: int


def find_grouped(
    file: OnnxFile, notes: Iterable[LayerNote], found: Mapping[str, Found]
) -> dict[str, FoundGroups]:
    """By the name of the stored weight; `found` is what other representations decode.

    Raises `Damaged` if a layer is not as its note says.
    """
    convolutions = {n.inputs[1]: n for n in reversed(file.nodes) if n.op == "Conv"}
    producers = {output: node for node in file.nodes for output in node.outputs}
    result = {}
    for note in notes:
        if note.group is None:
            continue
        name = f"{note.group.weight}.groups"
        node, stored = convolutions.get(name), found.get(name)
        if node is None or stored is None:
            raise Damaged(f'the groups of layer "{note.layer}" are missing')
        index = _index(node, producers, name)
        result[name] = _found(file, note.layer, note.group, node, index, stored)
    return result


def _found(
    file: OnnxFile, name: str, note: GroupNote, node: Node, index: str | None, stored: Found
) -> FoundGroups:
    groups = node.integer("group", 1)
    outputs, per_group = stored.stored.dims[:2]
    if groups < 1 or outputs % groups:
        raise Damaged(f'layer "{name}" has {outputs} rows in {groups} groups')
    read = _channels(file, index, note, groups * per_group)

    def decode() -> Flat:
        dense = _dense(stored.value(), read.reshape(groups, per_group), note)
        return dense.T if note.transposed else dense

    shape = note.dims[::-1] if note.transposed else note.dims
    dtype = schema.FLOATING[schema.DataType(stored.stored.data_type)]
    kind: LayerKind = "linear" if len(shape) == 2 else "conv"
    place = Stored(note.weight, stored.stored.data_type, note.dims)
    weight = Weight(Layer(name, kind, shape, dtype), place, note.transposed, (node.name,), ())
    nbytes = stored.nbytes + 4 * read.size
    value = Found(place, "groups", stored.value_type, nbytes, decode)
    return FoundGroups(weight, value, outputs // groups)


def _index(node: Node, producers: Mapping[str, Node], name: str) -> str | None:
    """The constant that says which channels a convolution reads; None where it reads them all.

    Rows become [rows, channels, 1] for the convolution where they are not channel-major; bytes that
    were gathered are given back as floats.
    """
    gather = producers.get(node.inputs[0])
    if gather is not None and gather.op == "DequantizeLinear":
        gather = producers.get(gather.inputs[0])
    if gather is not None and gather.name.startswith(f"{name}.places"):
        gather = producers.get(gather.inputs[0])
    if gather is None or not gather.name.startswith(f"{name}.gathered"):
        return None
    return gather.inputs[1]


def _channels(file: OnnxFile, name: str | None, note: GroupNote, count: int) -> NDArray[np.int64]:
    """Which channel of the layer's input each channel of the convolution is."""
    if name is None:
        places = np.arange(count)
    else:
        index = file.initializers.get(name)
        if index is None or index.data_type != schema.DataType.INT32 or index.extent is None:
            raise Damaged(f'the channels of "{note.weight}" are missing')
        places = index.read().astype(np.int64).reshape(-1)
    if note.channels is not None:
        length = 1 + max(int(note.channels.max()), int(places.max(initial=0)))
        channel_at = np.full(length, -1)
        channel_at[note.channels] = np.arange(note.channels.size)
        places = channel_at[places]
    inputs = note.dims[0] if note.transposed else note.dims[1]
    if places.size != count or not 0 <= int(places.min()) <= int(places.max()) < inputs:
        raise Damaged(f'the channels of "{note.weight}" are out of range')
    return places


def _dense(stored: Flat, channels: NDArray[np.int64], note: GroupNote) -> Flat:
    shape = note.dims[::-1] if note.transposed else note.dims
    rows = np.arange(shape[0]) if note.rows is None else note.rows
    if int(rows.max()) >= len(stored):
        raise Damaged(f'the rows of "{note.weight}" are out of range')
    padding = np.delete(stored, rows, axis=0)
    if padding.any():
        raise Damaged(f'"{note.weight}" has {np.count_nonzero(padding)} weights in padding')
    weight = stored[rows].reshape(shape[0], channels.shape[1], *shape[2:])
    read = channels[rows // (len(stored) // len(channels))]
    dense = np.zeros(shape, stored.dtype)
    # Padding reads a channel once more, after the real one: the first to read it counts.
    row, at = np.nonzero(_first(channels)[rows // (len(stored) // len(channels))])
    dense[row, read[row, at]] = weight[row, at]
    return dense


def _first(channels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[groups, channels]: where a group reads a channel for the first time."""
    found = np.zeros(channels.shape, np.bool_)
    for group, read in zip(found, channels, strict=True):
        group[np.unique(read, return_index=True)[1]] = True
    return found
