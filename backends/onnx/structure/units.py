"""Follows the units of a network through its graph: which channel of which value is which unit.

A unit is an output of a linear layer or convolution. Its number stays with it through
activations, normalization, pooling, flattening, concatenation and residual joins; channels that
are joined elementwise become one unit, since neither can leave without the other. Where an
operator mixes or reorders channels in a way that is not known here, its units are pinned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lottoc.backends.onnx.structure.operators import (
    BINARY,
    POOLING,
    REDUCTIONS,
    UNARY,
    constant,
    integer,
    rank,
    reduced_axes,
    size,
)

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Carrier:
    """A value that carries units: along `axis`, position j belongs to unit `ids[j]`."""

    axis: int
    ids: Ids


@dataclass(frozen=True)
class Linear:
    """A layer that mixes channels by a constant weight.

    `weight` is [out, in / groups, places]; `source` carries the input's units if they are known.
    """

    node: ir.Node
    weight: NDArray[np.generic]
    groups: int
    source: Carrier | None
    target: Carrier
    transposed: bool
    """Whether the initializer is stored as [in, out]."""


@dataclass
class Units:
    """All units of a graph; `labels` names each unit by the least number it was joined with."""

    carriers: dict[ir.Value, Carrier] = field(default_factory=dict)
    linears: list[Linear] = field(default_factory=list)
    depthwise: list[ir.Node] = field(default_factory=list)
    tables: list[ir.Node] = field(default_factory=list)
    """Lookups in a constant table whose columns are units; only where they are to be reordered."""
    pinned: list[Ids] = field(default_factory=list)
    why: list[str] = field(default_factory=list)
    """For each pin its reason, as the end of a sentence."""
    joined: list[tuple[Ids, Ids]] = field(default_factory=list)
    count: int = 0

    def fresh(self, number: int) -> Ids:
        """New units."""
        self.count += number
        return np.arange(self.count - number, self.count, dtype=np.int64)

    def pin(self, value: ir.Value | None, why: str) -> None:
        """Forbid the removal of a value's units."""
        if value is not None and value in self.carriers:
            self.pinned.append(self.carriers[value].ids)
            self.why.append(why)

    def free(self) -> NDArray[np.bool_]:
        """For each unit whether it may be removed at all."""
        labels = self.labels()
        pinned = np.zeros(self.count, np.bool_)
        for ids in self.pinned:
            pinned[labels[ids]] = True
        return np.asarray(~pinned[labels])

    def labels(self) -> Ids:
        """For each unit the least unit that it is the same as."""
        labels = np.arange(self.count, dtype=np.int64)
        if not self.joined:
            return labels
        left = np.concatenate([pair[0] for pair in self.joined])
        right = np.concatenate([pair[1] for pair in self.joined])
        while True:
            least = np.minimum(labels[left], labels[right])
            before = labels.copy()
            np.minimum.at(labels, left, least)
            np.minimum.at(labels, right, least)
            labels = labels[labels]
            if np.array_equal(labels, before):
                return labels


Rule = Callable[[Units, ir.Node], bool]
"""Gives a node's output its carrier, if it knows what the node does to channels."""


def find_units(graph: ir.Graph, reordered: Rule | None = None) -> Units:
    """Follow units through a graph with inferred shapes, its nodes in topological order.

    Units may be removed unless they are pinned. With the rule `reordered` they may be put in
    another order instead: it follows more nodes, and outputs are not pinned.
    """
    units = Units()
    for node in graph:
        if not _follow(units, node) and not (reordered is not None and reordered(units, node)):
            for value in _read(node):
                units.pin(value, f"{called(node)} mixes, splits or reorders them")
    for value in units.carriers:
        if value.is_graph_output() and reordered is None:
            units.pin(value, f'"{value.name}" is an output of the model')
        if any(use.node.graph is not graph for use in value.uses()):
            units.pin(value, f'"{value.name}" is read inside a control flow operator')
    return units


def called(node: ir.Node) -> str:
    """A node as it is named in messages."""
    return f'{node.op_type} "{node.name}"' if node.name else node.op_type


def _read(node: ir.Node) -> list[ir.Value]:
    return [value for value in node.inputs if value is not None]


def _follow(units: Units, node: ir.Node) -> bool:
    """Give the node's output its carrier; False if it is not known what happens to channels."""
    if node.domain not in ("", "ai.onnx") or len(node.outputs) == 0 or not _read(node):
        return False
    if any(output.uses() for output in node.outputs[1:]):
        return False
    match node.op_type:
        case "Conv":
            return _conv(units, node)
        case "Gemm" | "MatMul":
            return _product(units, node)
        case "Concat":
            return _concat(units, node)
        case "BatchNormalization":
            return _same(units, node, all(constant(v) is not None for v in node.inputs[1:]))
        case "Flatten":
            return _flatten(units, node, integer(node, "axis", 1) == 1)
        case "Reshape":
            return _reshape(units, node)
        case "Transpose":
            return _transpose(units, node)
        case "Dropout" if len(node.inputs) > 2:
            return False  # it may be in training mode
        case op if op in UNARY or op in POOLING:
            return _same(units, node, all(constant(v) is not None for v in _read(node)[1:]))
        case op if op in BINARY and len(node.inputs) == 2:
            return _binary(units, node)
        case op if op in REDUCTIONS:
            return _reduction(units, node)
    return False


def _same(units: Units, node: ir.Node, known: bool) -> bool:
    source = node.inputs[0]
    carrier = units.carriers.get(source) if source is not None else None
    if carrier is None or not known or (node.op_type in POOLING and carrier.axis != 1):
        return carrier is None and known
    units.carriers[node.outputs[0]] = carrier
    return True


def _conv(units: Units, node: ir.Node) -> bool:
    source, weight = node.inputs[0], constant(node.inputs[1])
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if weight is None or source is None or (bias is not None and constant(bias) is None):
        return False
    groups, carrier = integer(node, "group", 1), units.carriers.get(source)
    if carrier is not None and carrier.axis != 1:
        return False
    if carrier is not None and weight.shape[:2] == (groups, 1) and groups == carrier.ids.size:
        units.carriers[node.outputs[0]] = carrier
        units.depthwise.append(node)
        return True
    target = Carrier(1, units.fresh(weight.shape[0]))
    flat = weight.reshape(*weight.shape[:2], -1)
    return _linear(units, Linear(node, flat, groups, carrier, target, transposed=False))


def _linear(units: Units, linear: Linear) -> bool:
    units.linears.append(linear)
    units.carriers[linear.node.outputs[0]] = linear.target
    return True


def _product(units: Units, node: ir.Node) -> bool:
    source, weight = node.inputs[0], constant(node.inputs[1])
    if source is None or weight is None or weight.ndim != 2 or rank(source) is None:
        return False
    last = (rank(source) or 0) - 1
    transposed = node.op_type == "MatMul" or not integer(node, "transB", 0)
    if node.op_type == "Gemm":
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        scaled = any(
            name in node.attributes and node.attributes[name].as_float() != 1.0
            for name in ("alpha", "beta")
        )
        if scaled or integer(node, "transA", 0) or not _is_row(bias):
            return False
    carrier = units.carriers.get(source)
    if last < 0 or (carrier is not None and carrier.axis != last):
        return False
    canonical = weight.T if transposed else weight
    target = Carrier(last, units.fresh(canonical.shape[0]))
    return _linear(units, Linear(node, canonical[:, :, None], 1, carrier, target, transposed))


def _is_row(bias: ir.Value | None) -> bool:
    """Whether a Gemm's C is the same for every row."""
    if bias is None:
        return True
    numbers = constant(bias)
    return numbers is not None and (numbers.ndim < 2 or numbers.shape[0] == 1)


def _binary(units: Units, node: ir.Node) -> bool:
    left, right = node.inputs
    assert left is not None
    assert right is not None
    carried = [value for value in (left, right) if value in units.carriers]
    if not carried:
        return True
    output_rank = rank(node.outputs[0])
    if output_rank is None or any(rank(value) != output_rank for value in carried):
        return False
    carrier = units.carriers[carried[0]]
    if len(carried) == 1:
        other = right if carried[0] is left else left
        fits = _channels(other, output_rank, carrier.axis) in (1, carrier.ids.size)
        if not fits:
            return False
    else:
        second = units.carriers[right]
        if (carrier.axis, carrier.ids.size) != (second.axis, second.ids.size):
            return False
        units.joined.append((carrier.ids, second.ids))
    if size(node.outputs[0], carrier.axis) != carrier.ids.size:
        return False
    units.carriers[node.outputs[0]] = carrier
    return True


def _channels(value: ir.Value, output_rank: int, axis: int) -> int | None:
    """Length of a broadcast operand along an axis of the output; only constants may have many."""
    own = rank(value)
    if own is None:
        return None
    at = axis - (output_rank - own)
    length = 1 if at < 0 else size(value, at)
    return length if length == 1 or constant(value) is not None else None


def _concat(units: Units, node: ir.Node) -> bool:
    carriers = [units.carriers.get(value) for value in _read(node)]
    known = [carrier for carrier in carriers if carrier is not None]
    output_rank = rank(node.outputs[0])
    if not known:
        return True
    if output_rank is None or len(known) < len(carriers):
        return False
    axis = integer(node, "axis", 0) % output_rank
    if any(carrier.axis != known[0].axis for carrier in known):
        return False
    ids = known[0].ids
    if axis == known[0].axis:
        ids = np.concatenate([carrier.ids for carrier in known])
    else:
        units.joined += [(ids, carrier.ids) for carrier in known[1:]]
    units.carriers[node.outputs[0]] = Carrier(known[0].axis, ids)
    return True


def _flatten(units: Units, node: ir.Node, plain: bool) -> bool:
    """[batch, channels, places…] -> [batch, channels * places]."""
    source = node.inputs[0]
    assert source is not None
    carrier = units.carriers.get(source)
    if carrier is None:
        return True
    if not plain or carrier.axis != 1 or rank(source) is None:
        return False
    places = [size(source, axis) for axis in range(2, rank(source) or 0)]
    if any(length is None for length in places):
        return False
    repeated = np.repeat(carrier.ids, int(np.prod([p for p in places if p], dtype=np.int64)))
    if size(node.outputs[0], 1) != repeated.size:
        return False
    units.carriers[node.outputs[0]] = Carrier(1, repeated)
    return True


def _reshape(units: Units, node: ir.Node) -> bool:
    source, target = node.inputs[0], constant(node.inputs[1])
    output = node.outputs[0]
    if source is None or target is None:
        return False
    carrier = units.carriers.get(source)
    if carrier is None:
        return True
    last = len(target) - 1
    if carrier.axis == (rank(source) or 0) - 1 and size(output, last) == carrier.ids.size:
        units.carriers[output] = Carrier(last, carrier.ids)
        return True
    batch_kept = size(source, 0) == size(output, 0) if size(source, 0) else target[0] in (0, -1)
    return last == 1 and bool(batch_kept) and _flatten(units, node, plain=True)


def _transpose(units: Units, node: ir.Node) -> bool:
    source = node.inputs[0]
    assert source is not None
    carrier = units.carriers.get(source)
    if carrier is None:
        return True
    attribute = node.attributes.get("perm")
    length = rank(source) or 0
    order = tuple(attribute.as_ints()) if attribute else tuple(reversed(range(length)))
    units.carriers[node.outputs[0]] = Carrier(order.index(carrier.axis), carrier.ids)
    return True


def _reduction(units: Units, node: ir.Node) -> bool:
    source = node.inputs[0]
    assert source is not None
    carrier, length = units.carriers.get(source), rank(source)
    if carrier is None:
        return True
    axes = reduced_axes(node, length) if length is not None else None
    if axes is None or carrier.axis in axes:
        return False
    kept = integer(node, "keepdims", 1)
    axis = carrier.axis if kept else carrier.axis - sum(a < carrier.axis for a in axes)
    units.carriers[node.outputs[0]] = Carrier(axis, carrier.ids)
    return True
