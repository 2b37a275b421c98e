"""Removes units that nothing reads or that nothing reaches: the graph becomes smaller, exactly.

A unit is needed if a needed unit reads it with a weight that is not zero, unless what it reads is
a constant that can move into the reader's bias, or that another constant can stand for.
Everything else leaves, row and column.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lottoc.backends.onnx.structure.constants import (
    Merged,
    Numbers,
    absorbable,
    bias_of,
    find_constants,
    merged,
)
from lottoc.backends.onnx.structure.operators import BINARY, constant, rank
from lottoc.backends.onnx.structure.replace import Constants
from lottoc.backends.onnx.structure.units import Linear, Units, find_units

Bools = NDArray[np.bool_]

LANES = 16
"""Channels that onnxruntime computes together in a convolution, at most (NCHWc).

A depthwise convolution that does not fill them is left to a kernel several times slower.
"""


@dataclass(frozen=True)
class Shrunk:
    """A layer that lost units: its weight's name and its [out, in] before and after."""

    weight: str
    before: tuple[int, int]
    after: tuple[int, int]


@dataclass
class Removal:
    """What was removed, and which layers pass nothing on that depends on the input."""

    layers: list[Shrunk] = field(default_factory=list)
    constant_layers: list[str] = field(default_factory=list)
    unread_layers: list[str] = field(default_factory=list)


def remove_dead_units(model: ir.Model, whole: Collection[str] = ()) -> Removal:
    """Shrink the main graph in place; its outputs stay the same up to rounding of biases.

    Shapes must have been inferred; weights are initializers. Outputs keep their shapes, and layers
    whose weights are named in `whole` all the channels they read.
    """
    units = find_units(model.graph)
    for linear in units.linears:
        weight = linear.node.inputs[1]
        if weight is not None and weight.name in whole:
            units.pin(linear.node.inputs[0], "a layer needs all that it reads")
    numbers = find_constants(model.graph, units)
    needed = _needed(units, numbers)
    removal = Removal()
    for linear in units.linears:
        _note(linear, numbers, needed, removal)
    if needed.all():
        return removal
    rewrite = _Rewrite(model.graph, units, numbers, needed)
    rewrite.run()
    removal.layers = rewrite.layers
    return removal


def _note(
    linear: Linear, numbers: dict[ir.Value, Numbers], needed: Bools, removal: Removal
) -> None:
    weight = linear.node.inputs[1]
    assert weight is not None
    output = linear.node.outputs[0]
    if not np.isnan(numbers[output]).any() and linear.target.ids.size:
        removal.constant_layers.append(weight.name or "")
    if not needed[linear.target.ids].any():
        removal.unread_layers.append(weight.name or "")


def _needed(units: Units, numbers: dict[ir.Value, Numbers]) -> Bools:
    """Which units must stay; the least set that contains the pinned and all that it reads."""
    labels = units.labels()
    needed = np.zeros(units.count, np.bool_)
    for ids in units.pinned:
        needed[labels[ids]] = True
    free = units.free()
    readers = [
        linear
        for linear in reversed(units.linears)
        if linear.source is not None and free[linear.source.ids].any()
    ]
    demands = [_demand(linear, numbers) for linear in readers]
    while True:
        before = int(needed.sum())
        for linear, reads in zip(readers, demands, strict=True):
            if linear.source is not None:
                rows = needed[labels[linear.target.ids]]
                read = _read_columns(linear, reads, rows)
                needed[labels[linear.source.ids[read]]] = True
        _keep_shapes_legal(units, labels, needed)
        _keep_lanes_full(units, labels, needed)
        if int(needed.sum()) == before:
            return needed[labels]


def _demand(linear: Linear, numbers: dict[ir.Value, Numbers]) -> Bools:
    """[out, in / groups]: which weights need their input, because it is no constant to absorb.

    Constants that one of them can stand for are read through that one.
    """
    reads: Bools = (linear.weight != 0).any(axis=2)
    source = linear.node.inputs[0]
    if source is not None and source in numbers:
        free = ~absorbable(linear, numbers[source])
        rows, columns = linear.weight.shape[0] // linear.groups, linear.weight.shape[1]
        for group in range(linear.groups):
            reads[group * rows : (group + 1) * rows] &= free[
                group * columns : (group + 1) * columns
            ]
        found = merged(linear, numbers[source])
        if found is not None:
            reads[:, found.keeper] |= reads[:, found.others].any(axis=1)
            reads[:, found.others] = False
    return reads


def _read_columns(linear: Linear, reads: Bools, rows: Bools) -> Bools:
    grouped = (reads & rows[:, None]).reshape(linear.groups, -1, reads.shape[1])
    result: Bools = grouped.any(axis=1).reshape(-1)
    return result


def _keep_shapes_legal(units: Units, labels: NDArray[np.int64], needed: Bools) -> None:
    """No value may lose all its channels, and groups of a convolution stay of equal size."""
    for carrier in units.carriers.values():
        if not needed[labels[carrier.ids]].any():
            needed[labels[carrier.ids[0]]] = True
    for linear in units.linears:
        if linear.groups > 1:
            for end in (linear.source, linear.target):
                if end is not None:
                    _even(labels[end.ids].reshape(linear.groups, -1), needed)


def _keep_lanes_full(units: Units, labels: NDArray[np.int64], needed: Bools) -> None:
    """Keep a few dead units, so that a depthwise convolution stays as fast a channel as it was."""
    for node in units.depthwise:
        ids = labels[units.carriers[node.outputs[0]].ids]
        kept = needed[ids]
        if ids.size % LANES == 0:
            spare = np.unique(ids[~kept])  # never more than there are
            needed[spare[: -int(kept.sum()) % LANES]] = True


def _even(ids: NDArray[np.int64], needed: Bools) -> None:
    """Keep a few dead units, so that every group keeps as many as the fullest."""
    kept = needed[ids]
    most = int(kept.sum(axis=1).max())
    for group, row in zip(ids, kept, strict=True):
        spare = group[~row]
        needed[spare[: most - int(row.sum())]] = True


@dataclass
class _Rewrite:
    """Slices every constant that has a number for a unit that leaves."""

    graph: ir.Graph
    units: Units
    numbers: dict[ir.Value, Numbers]
    needed: Bools
    layers: list[Shrunk] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.constants = Constants(self.graph, "live")

    def run(self) -> None:
        linears = {linear.node: linear for linear in self.units.linears}
        for node in list(self.graph):
            if node in linears:
                self._linear(linears[node])
            elif node in self.units.depthwise:
                self._depthwise(node)
            elif node.outputs and node.outputs[0] in self.units.carriers:
                self._other(node)
        for value, carrier in self.units.carriers.items():
            kept = self._kept(value)
            if kept is not None and value.shape is not None:
                lengths = list(value.shape)
                lengths[carrier.axis] = int(kept.sum())
                value.shape = ir.Shape(lengths)
        self.constants.settle()

    def _kept(self, value: ir.Value | None) -> Bools | None:
        """Which channels of a value stay; None if it loses none."""
        carrier = self.units.carriers.get(value) if value is not None else None
        if carrier is None:
            return None
        kept = self.needed[carrier.ids]
        return None if kept.all() else kept

    def _linear(self, linear: Linear) -> None:
        rows, columns = self._kept(linear.node.outputs[0]), self._kept(linear.node.inputs[0])
        if rows is None and columns is None:
            return
        before = (linear.weight.shape[0], linear.weight.shape[1] * linear.groups)
        read = partial(_through, self._merged(linear, columns))
        if columns is not None:
            self._absorb(linear, columns)
        value = linear.node.inputs[1]
        assert value is not None

        def sliced(weight: NDArray[np.generic]) -> NDArray[np.generic]:
            weight = read(weight.T if linear.transposed else weight)
            if columns is not None:
                weight = _grouped_columns(weight, columns, linear.groups)
            weight = weight if rows is None else weight[rows]
            return np.ascontiguousarray(weight.T if linear.transposed else weight)

        self.constants.replace(linear.node, 1, sliced)
        if rows is not None and len(linear.node.inputs) > 2 and linear.node.inputs[2] is not None:
            self.constants.replace(linear.node, 2, lambda bias: _along(bias, rows, -1))
        after = (
            before[0] if rows is None else int(rows.sum()),
            before[1] if columns is None else int(columns.sum()),
        )
        self.layers.append(Shrunk(value.name or "", before, after))

    def _merged(self, linear: Linear, columns: Bools | None) -> Merged | None:
        """The constants that leave because one that stays can stand for them."""
        source = linear.node.inputs[0]
        if columns is None or source is None or source not in self.numbers:
            return None
        found = merged(linear, self.numbers[source])
        if found is None or not (leave := found.others & ~columns).any():
            return None
        return replace(found, others=leave)

    def _absorb(self, linear: Linear, columns: Bools) -> None:
        """Move what constant columns that leave contribute into the bias."""
        source = linear.node.inputs[0]
        assert source is not None
        numbers = self.numbers.get(source)
        if numbers is None:
            return
        values = np.where(columns | ~absorbable(linear, numbers), 0.0, numbers)
        if not values.any():
            return
        outputs, per_group = linear.weight.shape[:2]
        sums = linear.weight.sum(axis=2, dtype=np.float64)
        blocks = sums.reshape(linear.groups, outputs // linear.groups, per_group)
        moved = np.einsum("gok,gk->go", blocks, values.reshape(linear.groups, per_group))
        bias = (bias_of(linear.node, outputs) + moved.reshape(-1)).astype(linear.weight.dtype)
        self._set_bias(linear.node, bias)

    def _set_bias(self, node: ir.Node, bias: NDArray[np.generic]) -> None:
        if node.op_type == "MatMul":
            self._add_after(node, bias)
            return
        weight = node.inputs[1]
        assert weight is not None
        value = self.constants.initializer(f"{weight.name}.bias", bias)
        if len(node.inputs) < 3:
            node.resize_inputs(3)
        node.replace_input_with(2, value)

    def _add_after(self, node: ir.Node, bias: NDArray[np.generic]) -> None:
        """A MatMul has no bias: an Add takes it, which is sliced like any other later on."""
        output = node.outputs[0]
        value = self.constants.initializer(f"{output.name}.bias", bias)
        new = ir.Node("", "Add", [output, value], num_outputs=1)
        added = new.outputs[0]
        added.name, added.type, added.shape = f"{output.name}.biased", output.type, output.shape
        for user, index in list(output.uses()):
            if user is not new:
                user.replace_input_with(index, added)
        if output.is_graph_output():  # the sum is the output now, under its name
            ends = self.graph.outputs
            for at in [at for at, end in enumerate(ends) if end is output]:
                ends[at] = added
            output.name, added.name = added.name, output.name
        self.graph.insert_after(node, new)
        self.units.carriers[added] = self.units.carriers[output]
        self._other(new)

    def _depthwise(self, node: ir.Node) -> None:
        kept = self._kept(node.outputs[0])
        if kept is None:
            return
        weight = node.inputs[1]
        name = (weight.name or "") if weight is not None else ""
        self.constants.replace(node, 1, lambda weight: weight[kept])
        if len(node.inputs) > 2 and node.inputs[2] is not None:
            self.constants.replace(node, 2, lambda bias: bias[kept])
        left = int(kept.sum())
        node.attributes["group"] = ir.AttrInt64("group", left)
        self.layers.append(Shrunk(name, (kept.size, 1), (left, 1)))

    def _other(self, node: ir.Node) -> None:
        kept = self._kept(node.outputs[0])
        if kept is None:
            return
        axis = self.units.carriers[node.outputs[0]].axis
        if node.op_type == "BatchNormalization":
            for index in range(1, 5):
                self.constants.replace(node, index, lambda numbers: numbers[kept])
        elif node.op_type in BINARY:
            length = rank(node.outputs[0]) or 0
            for index in (0, 1):
                if constant(node.inputs[index]) is not None:
                    self.constants.replace(node, index, lambda c: _along(c, kept, axis - length))
        elif node.op_type == "Reshape":
            count = int(kept.sum())
            self.constants.replace(
                node, 1, lambda shape: _with_length(shape, axis, kept.size, count)
            )


def _through(found: Merged | None, weight: NDArray[Any]) -> NDArray[Any]:
    """The weight [out, in, …] of a layer that reads some constants through one of them."""
    if found is None:
        return weight
    more = np.tensordot(
        found.ratios[found.others], weight[:, found.others].astype(np.float64), axes=([0], [1])
    )
    changed = weight.copy()
    changed[:, found.keeper] = weight[:, found.keeper].astype(np.float64) + more
    return changed


def _grouped_columns(
    weight: NDArray[np.generic], columns: Bools, groups: int
) -> NDArray[np.generic]:
    if groups == 1:
        return weight[:, columns]
    rows = weight.shape[0] // groups
    parts = [
        weight[g * rows : (g + 1) * rows][:, kept]
        for g, kept in enumerate(columns.reshape(groups, -1))
    ]
    return np.concatenate(parts)


def _along(numbers: NDArray[np.generic], kept: Bools, axis: int) -> NDArray[np.generic]:
    """Slice a broadcast operand along an axis counted from the end, if it has it at all."""
    if numbers.ndim < -axis or numbers.shape[axis] == 1:
        return numbers
    return np.compress(kept, numbers, axis=axis)


def _with_length(
    shape: NDArray[np.generic], axis: int, before: int, after: int
) -> NDArray[np.generic]:
    """A Reshape's target with a shorter axis, unless it is computed there."""
    if int(shape[axis]) != before:
        return shape
    changed = shape.copy()
    changed[axis] = after
    return changed
