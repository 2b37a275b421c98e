"""Writes channels in another order into everything that makes or reads them, exactly.

The weight that asked for an order then has its columns in it; whoever makes these channels has its
rows, bias and normalization in the same order, and all that reads them its columns. Nothing is
computed at run time for it, but for a model's output whose channels have moved: a Gather puts
them back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lottoc.backends.onnx.structure.builder import Builder
from lottoc.backends.onnx.structure.moved import Conflict, Ids, Moved
from lottoc.backends.onnx.structure.operators import BINARY, constant, rank
from lottoc.backends.onnx.structure.replace import Constants
from lottoc.backends.onnx.structure.spaces import NORMALIZATION, Spaces, find_spaces, places
from lottoc.backends.onnx.structure.units import Linear


@dataclass
class Reordered:
    """What was done: weights whose rows or columns moved, outputs that are put back in order.

    `fixed` says for weights that kept the order of their channels why they had to.
    """

    moved: dict[str, Moved] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    fixed: Mapping[str, str] = field(default_factory=dict)


def reorder(model: ir.Model, orders: Mapping[str, Ids]) -> Reordered:
    """Put the channels that the named weights read in the given orders, in place.

    Position j of an order says which channel comes to stand there. Shapes must have been inferred;
    weights are initializers. Raises `Conflict` if channels cannot be moved, or are asked to be in
    two orders.
    """
    spaces = find_spaces(model.graph)
    wanted = np.arange(spaces.units.count, dtype=np.int64)
    given: dict[int, str] = {}
    for weight, order in orders.items():
        _want(spaces, weight, order, wanted, given)
    reordered = Reordered(fixed=spaces.fixed)
    if np.array_equal(wanted, np.arange(wanted.size)):
        return reordered
    _Rewrite(model.graph, spaces, wanted, reordered).run()
    return reordered


def _want(spaces: Spaces, weight: str, order: Ids, wanted: Ids, given: dict[int, str]) -> None:
    """Note for each unit that `order` moves which unit comes in its place."""
    space = spaces.of.get(weight)
    if space is None:
        reason = spaces.fixed.get(weight, "it is no layer of the graph")
        raise Conflict(f'the channels that "{weight}" reads cannot move: {reason}')
    units = spaces.order[space]
    if not np.array_equal(np.sort(order), np.arange(units.size)):
        raise Conflict(f'"{weight}" reads {units.size} channels, and its order is none of them')
    if space in given and not np.array_equal(wanted[units], units[order]):
        raise Conflict(f'"{weight}" and "{given[space]}" read the same channels in two orders')
    given[space] = weight
    wanted[units] = units[order]


class _Rewrite:
    """Gathers every constant that has a number for a unit that moves."""

    def __init__(self, graph: ir.Graph, spaces: Spaces, wanted: Ids, reordered: Reordered) -> None:
        self.graph, self.units, self.labels = graph, spaces.units, spaces.labels
        self.wanted, self.reordered = wanted, reordered
        self.constants = Constants(graph, "ordered")
        self.known: dict[int, Ids | None] = {}

    def run(self) -> None:
        linears = {linear.node: linear for linear in self.units.linears}
        depthwise, tables = set(self.units.depthwise), set(self.units.tables)
        for node in list(self.graph):
            if node in linears:
                self._linear(linears[node])
            elif node in tables:
                self._along(node, (0,), self._places(node.outputs[0]), -1)
            elif node in depthwise:
                self._depthwise(node)
            elif node.outputs and node.outputs[0] in self.units.carriers:
                self._other(node)
        self.constants.settle()
        for at, value in enumerate(list(self.graph.outputs)):
            order = self._places(value)
            if order is not None:
                self._put_back(at, value, order)

    def _places(self, value: ir.Value | None) -> Ids | None:
        """Where the channels of a value came from; None if none moved."""
        carrier = self.units.carriers.get(value) if value is not None else None
        if carrier is None:
            return None
        if id(carrier) not in self.known:
            order = places(self.labels[carrier.ids], self.wanted)
            same = np.array_equal(order, np.arange(order.size))
            self.known[id(carrier)] = None if same else order
        return self.known[id(carrier)]

    def _linear(self, linear: Linear) -> None:
        node = linear.node
        rows, columns = self._places(node.outputs[0]), self._places(node.inputs[0])
        if rows is None and columns is None:
            return
        weight = node.inputs[1]
        assert weight is not None

        def moved(numbers: NDArray[np.generic]) -> NDArray[np.generic]:
            numbers = numbers.T if linear.transposed else numbers
            numbers = numbers if rows is None else numbers[rows]
            numbers = numbers if columns is None else numbers[:, columns]
            return np.ascontiguousarray(numbers.T if linear.transposed else numbers)

        self.reordered.moved[weight.name or ""] = Moved(rows, columns)
        self.constants.replace(node, 1, moved)
        self._along(node, (2,), rows, -1)

    def _depthwise(self, node: ir.Node) -> None:
        order = self._places(node.outputs[0])
        if order is not None:
            self.constants.replace(node, 1, lambda weight: weight[order])
            self._along(node, (2,), order, -1)

    def _other(self, node: ir.Node) -> None:
        order, output = self._places(node.outputs[0]), node.outputs[0]
        axis = self.units.carriers[output].axis - (rank(output) or 0)
        if node.op_type in ("BatchNormalization", "InstanceNormalization"):
            self._along(node, range(1, len(node.inputs)), order, -1)
        elif node.op_type in NORMALIZATION or node.op_type in BINARY:
            constants = [at for at, v in enumerate(node.inputs) if constant(v) is not None]
            self._along(node, constants, order, axis)

    def _along(
        self,
        node: ir.Node,
        inputs: range | tuple[int, ...] | list[int],
        order: Ids | None,
        axis: int,
    ) -> None:
        """Gather some inputs along an axis counted from the end, where they have it."""
        for at in inputs:
            value = node.inputs[at] if at < len(node.inputs) else None
            if value is not None and order is not None:
                self.constants.replace(node, at, lambda numbers: _gathered(numbers, order, axis))

    def _put_back(self, at: int, value: ir.Value, order: Ids) -> None:
        """Value → Gather, which takes over the output's name."""
        build, name = Builder(self.graph), value.name or ""
        value.name = build.fresh(f"{name}.ordered")
        index = build.constant(np.argsort(order), f"{name}.order")
        axis = self.units.carriers[value].axis
        result = build.node(None, "Gather", [value, index], f"{name}.back", axis=axis)
        result.name, result.shape, result.type = name, value.shape, value.type
        self.graph.outputs[at] = result
        self.reordered.outputs.append(name)


def _gathered(numbers: NDArray[np.generic], order: Ids, axis: int) -> NDArray[np.generic]:
    if numbers.ndim < -axis or numbers.shape[axis] == 1:
        return numbers
    return np.take(numbers, order, axis=axis)
