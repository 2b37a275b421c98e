"""Which layers of a graph read the same channels, and whether these may be put in another order.

A space is a set of units that move together: what one layer gives, and what is joined with it
elementwise. Everything that makes or reads a space has a constant with a number for each of its
units, so an order can be written into those constants. Unlike removal, reordering passes through
operators that need all channels but treat them alike, such as normalization over channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lottoc.backends.onnx.structure.operators import (
    REDUCTIONS,
    constant,
    integer,
    rank,
    reduced_axes,
)
from lottoc.backends.onnx.structure.units import Carrier, Ids, Linear, Units, called, find_units

ALIKE = frozenset(["LpNormalization", "LogSoftmax", "Softmax"])
"""Over whichever axis: channels in another order give the same in that order."""

NORMALIZATION = frozenset(["InstanceNormalization", "LayerNormalization", "RMSNormalization"])
"""The same, with constants that have a number for each channel."""

MORE_REDUCTIONS = REDUCTIONS | {"ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceSumSquare"}

SIZES = frozenset(["Shape", "Size"])


@dataclass
class Spaces:
    """The spaces of a graph by number; `order` gives the units of one as its readers count them.

    `of` tells the space that a weight's layer reads, by the weight's name, `fixed` why the channels
    that a layer reads must stay where they are.
    """

    units: Units
    labels: Ids
    order: list[Ids] = field(default_factory=list)
    of: dict[str, int] = field(default_factory=dict)
    fixed: dict[str, str] = field(default_factory=dict)


def find_spaces(graph: ir.Graph) -> Spaces:
    """The spaces of a graph with inferred shapes and lifted constants."""
    units = find_units(graph, reordered=_follow)
    _tie(units)
    spaces = Spaces(units, units.labels())
    readable = _readable(spaces)
    numbers: dict[int, int] = {}
    for linear in units.linears:
        name = _name(linear)
        if linear.source is None:
            spaces.fixed[name] = _origin(linear.node.inputs[0])
            spaces.of.pop(name, None)
        elif name not in spaces.fixed:
            space = int(readable.number[spaces.labels[linear.source.ids[0]]])
            if space in readable.fixed:
                spaces.fixed[name] = readable.fixed[space]
                continue
            if space not in numbers:
                numbers[space] = len(spaces.order)
                spaces.order.append(readable.order[space])
            spaces.of[name] = numbers[space]
    return spaces


def channel_classes(graph: ir.Graph) -> tuple[Mapping[str, int], Mapping[str, str]]:
    """By weight: the number of the channels its layer reads, or why they cannot be reordered."""
    spaces = find_spaces(graph)
    return spaces.of, spaces.fixed


def _name(linear: Linear) -> str:
    weight = linear.node.inputs[1]
    assert weight is not None
    return weight.name or ""


def _origin(source: ir.Value | None) -> str:
    assert source is not None
    producer = source.producer()
    if producer is None:
        return f'it reads "{source.name}", an input of the model'
    return f"the channels that {called(producer)} gives are not followed"


def _follow(units: Units, node: ir.Node) -> bool:
    """What only reordering can pass through."""
    if node.domain not in ("", "ai.onnx") or not node.inputs or node.inputs[0] is None:
        return False
    source = node.inputs[0]
    carrier = units.carriers.get(source)
    if carrier is None:
        return node.op_type == "Gather" and _table(units, node)
    if node.op_type in SIZES:
        return True
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        return False
    if node.op_type in MORE_REDUCTIONS:
        length = rank(source)
        axes = reduced_axes(node, length) if length is not None else None
        return axes is not None and carrier.axis in axes
    if node.op_type in NORMALIZATION:
        if any(constant(value) is None for value in node.inputs[1:] if value is not None):
            return False
        if node.op_type == "InstanceNormalization" and carrier.axis != 1:
            return False
    elif node.op_type not in ALIKE:
        return False
    units.carriers[node.outputs[0]] = carrier
    return True


def _table(units: Units, node: ir.Node) -> bool:
    """A lookup in a constant [rows, units]."""
    numbers, length = constant(node.inputs[0]), rank(node.outputs[0])
    if numbers is None or numbers.ndim != 2 or length is None or integer(node, "axis", 0) != 0:
        return False
    units.carriers[node.outputs[0]] = Carrier(length - 1, units.fresh(numbers.shape[1]))
    units.tables.append(node)
    return True


def _tie(units: Units) -> None:
    """What is written into one constant twice must be the same; fix what is written elsewhere."""
    ends = dict(_ends(units))
    for linear in units.linears:
        if linear.groups > 1:
            _pin(units, ends[linear.node], f"{called(linear.node)} is a grouped convolution")
    for node, sides in ends.items():
        value = node.inputs[_constant_at(node)]
        assert value is not None
        for use in value.uses():
            others = ends.get(use.node) if use.idx == _constant_at(use.node) else None
            if others is None:
                _pin(units, sides, f'"{value.name}" is also read by {called(use.node)}')
            elif use.node is not node:
                _join(units, sides, others, f'"{value.name}" is read by several layers')


Sides = tuple[Carrier | None, Carrier | None]


def _ends(units: Units) -> Iterator[tuple[ir.Node, Sides]]:
    """For each node with a matrix of units, the units along axes 0 and 1 of what is stored."""
    for linear in units.linears:
        sides = (linear.target, linear.source)
        yield linear.node, sides[::-1] if linear.transposed else sides
    for node in units.tables:
        yield node, (None, units.carriers[node.outputs[0]])


def _constant_at(node: ir.Node) -> int:
    return 0 if node.op_type == "Gather" else 1


def _pin(units: Units, sides: Sides, why: str) -> None:
    for carrier in sides:
        if carrier is not None:
            units.pinned.append(carrier.ids)
            units.why.append(why)


def _join(units: Units, sides: Sides, others: Sides, why: str) -> None:
    for one, other in zip(sides, others, strict=True):
        if one is not None and other is not None and one.ids.size == other.ids.size:
            units.joined.append((one.ids, other.ids))
        else:
            _pin(units, (one, other), why)


@dataclass
class _Readable:
    """Spaces under numbers of their own: for each label its number, and what is known of each."""

    number: Ids
    order: dict[int, Ids] = field(default_factory=dict)
    fixed: dict[int, str] = field(default_factory=dict)

    def fix(self, labels: Ids, why: str) -> None:
        for space in np.unique(self.number[labels]).tolist():
            self.fixed.setdefault(space, why)


def _readable(spaces: Spaces) -> _Readable:
    units, labels = spaces.units, spaces.labels
    blocks = [labels[linear.target.ids] for linear in units.linears]
    blocks += [labels[units.carriers[node.outputs[0]].ids] for node in units.tables]
    readable = _Readable(_connected(blocks, units.count))
    for ids, why in zip(units.pinned, units.why, strict=True):
        readable.fix(labels[ids], why)
    for block in blocks:
        members = readable.order.setdefault(int(readable.number[block[0]]), block)
        alone = np.unique(block)
        if alone.size != block.size or not np.array_equal(alone, np.unique(members)):
            readable.fix(block, "they are joined with only some channels of another layer")
    for carrier in {id(c.ids): c for c in units.carriers.values()}.values():
        _check(readable, labels[carrier.ids])
    for linear in units.linears:
        if linear.source is not None:
            read = labels[linear.source.ids]
            members = readable.order[int(readable.number[read[0]])]
            if not np.array_equal(read, members):
                readable.fix(read, f"{called(linear.node)} reads them beside or between others")
    return readable


def _check(readable: _Readable, carried: Ids) -> None:
    """A value has to hold all units of a space equally often, or none."""
    found, counts = np.unique(carried, return_counts=True)
    for space in np.unique(readable.number[found]).tolist():
        own = counts[readable.number[found] == space]
        if own.size != np.unique(readable.order[space]).size or np.ptp(own):
            readable.fixed.setdefault(space, "only some of them go on together")


def _connected(blocks: list[Ids], count: int) -> Ids:
    """For each label the least label that some chain of overlapping blocks connects it with."""
    number = np.arange(count, dtype=np.int64)
    while True:
        before = number.copy()
        for block in blocks:
            number[block] = number[block].min()
        if np.array_equal(number, before):
            return number


def places(labels: NDArray[np.int64], wanted: Ids) -> Ids:
    """Where the units are that shall come to stand in a value that carries `labels`.

    Position j shall hold unit `wanted[labels[j]]`; of several positions with equal labels the first
    goes to the first, and so on.
    """
    by_label = np.argsort(labels, kind="stable")
    ordered = labels[by_label]
    turn = np.empty_like(labels)
    turn[by_label] = np.arange(labels.size) - np.searchsorted(ordered, ordered)
    found: Ids = by_label[np.searchsorted(ordered, wanted[labels]) + turn]
    return found
