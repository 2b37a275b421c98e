"""Keeps values channel-major between grouped layers, and orders their channels lazily.

A grouped layer reads and writes [batch, channels, places]: sequences [batch, places, channels]
and rows [batch, channels] have to be turned. Turning is put off for as long as what follows can
work on the turned value: activations, constants per channel, joins, the split into attention
heads. So is putting the channels back in order: a grouped layer that follows gathers from
wherever they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lottoc.backends.onnx.structure.operators import UNARY, constant, rank, size

Order = NDArray[np.int64]


@dataclass(frozen=True)
class Turned:
    """The channel-major twin of a value: channel j of the value is channel `order[j]` of it.

    `order` is None where nothing is out of order. `rank` is the rank of the value itself; the
    twin of a value of rank 2, [batch, channels], is [1, channels, batch].
    """

    value: ir.Value
    order: Order | None
    rank: int


@dataclass
class Builder:
    """Puts new nodes before a place in a graph; equal constants are one."""

    graph: ir.Graph
    names: set[str] = field(default_factory=set)
    constants: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = [v for node in self.graph for v in (*node.inputs, *node.outputs) if v is not None]
        self.names = {v.name or "" for v in (*values, *self.graph.initializers.values())}

    def fresh(self, wish: str) -> str:
        """A name nothing has yet."""
        name, number = wish, 0
        while name in self.names:
            number += 1
            name = f"{wish}.{number}"
        self.names.add(name)
        return name

    def constant(self, numbers: NDArray[Any], wish: str) -> ir.Value:
        """An initializer."""
        numbers = np.ascontiguousarray(numbers)
        key = (str(numbers.dtype), numbers.shape, numbers.tobytes())
        if key not in self.constants:
            name = self.fresh(wish)
            tensor = ir.tensor(numbers, name=name)
            shape, kind = ir.Shape(numbers.shape), ir.TensorType(tensor.dtype)
            value = ir.Value(name=name, shape=shape, type=kind, const_value=tensor)
            self.graph.register_initializer(value)
            self.constants[key] = value
        return self.constants[key]

    def node(
        self,
        before: ir.Node | None,
        op: str,
        inputs: Sequence[ir.Value | None],
        wish: str,
        **attributes: Any,
    ) -> ir.Value:
        """A new node, at the end of the graph if `before` is None; its output."""
        made = [ir.convenience.convert_attribute(k, v) for k, v in attributes.items()]
        new = ir.Node("", op, inputs, made, num_outputs=1)
        name = self.fresh(wish)
        new.outputs[0].name = new.name = name
        if inputs[0] is not None and inputs[0].dtype is not None:
            new.outputs[0].type = ir.TensorType(inputs[0].dtype)
        if before is None:
            self.graph.append(new)
        else:
            self.graph.insert_before(before, new)
        return new.outputs[0]


@dataclass
class ChannelMajor:
    """The twins of a graph's values while it is rewritten from front to back."""

    build: Builder
    turned: dict[ir.Value, Turned] = field(default_factory=dict)
    """Values whose producer is gone: they exist only as their twins, or as `plain`."""
    plain: dict[ir.Value, ir.Value] = field(default_factory=dict)
    made: dict[ir.Value, Turned] = field(default_factory=dict)
    """Twins of values that exist."""

    def twin(self, value: ir.Value, before: ir.Node) -> Turned:
        """The twin of a value, made by turning it if it has none."""
        if value in self.turned:
            return self.turned[value]
        if value not in self.made:
            self.made[value] = self._turn(value, before)
        return self.made[value]

    def _turn(self, value: ir.Value, before: ir.Node) -> Turned:
        length, name = rank(value), value.name or "value"
        if length == 4:
            return Turned(value, None, 4)
        if length == 2:
            axis = self.build.constant(np.array([0], np.int64), "lottoc.axis0")
            value = self.build.node(before, "Unsqueeze", [value, axis], f"{name}.row")
            turned = self.build.node(before, "Transpose", [value], f"{name}.turned", perm=[0, 2, 1])
            return Turned(turned, None, 2)
        joined = self._joined_heads(value, before)
        if joined is None:
            joined = self.build.node(before, "Transpose", [value], f"{name}.turned", perm=[0, 2, 1])
        return Turned(joined, None, 3)

    def _joined_heads(self, value: ir.Value, before: ir.Node) -> ir.Value | None:
        """[b, h, s, d] → Transpose → [b, s, h, d] → Reshape → [b, s, h·d], turned at once."""
        reshape = value.producer()
        if reshape is None or reshape.op_type != "Reshape" or reshape.inputs[0] is None:
            return None
        transpose = reshape.inputs[0].producer()
        if transpose is None or transpose.op_type != "Transpose":
            return None
        heads, channels = transpose.inputs[0], size(value, 2)
        permutation = transpose.attributes.get("perm")
        if heads is None or heads in self.turned or permutation is None:
            return None
        if tuple(permutation.as_ints()) != (0, 2, 1, 3):
            return None
        split = (size(heads, 1), size(heads, 3))
        if channels is None or None in split or split[0] * split[1] != channels:  # type: ignore[operator]
            return None
        name = value.name or "value"
        turned = self.build.node(before, "Transpose", [heads], f"{name}.heads", perm=[0, 1, 3, 2])
        shape = self.build.constant(np.array([0, channels, -1], np.int64), "lottoc.join")
        return self.build.node(before, "Reshape", [turned, shape], f"{name}.turned")

    def ordered(self, twin: Turned, before: ir.Node | None) -> ir.Value:
        """The twin with its channels in order."""
        if twin.order is None:
            return twin.value
        order = self.build.constant(twin.order, f"{twin.value.name}.order")
        return self.build.node(before, "Gather", [twin.value, order], "ordered", axis=1)

    def materialize(self, value: ir.Value, before: ir.Node | None) -> ir.Value:
        """The value itself, for whoever cannot work on its twin."""
        if value not in self.plain:
            twin = self.turned[value]
            result = self.ordered(twin, before)
            if twin.rank < 4:
                result = self.build.node(before, "Transpose", [result], "back", perm=[0, 2, 1])
            if twin.rank == 2:
                axis = self.build.constant(np.array([0], np.int64), "lottoc.axis0")
                result = self.build.node(before, "Squeeze", [result, axis], "back")
            self.plain[value] = result
        return self.plain[value]

    def follow(self, node: ir.Node) -> bool:
        """Let a node work on twins, if it can; its own output then is a twin."""
        inputs = [value for value in node.inputs if value is not None]
        twins = [value for value in inputs if value in self.turned]
        if not twins or len(node.outputs) != 1 or node.domain not in ("", "ai.onnx"):
            return False
        if node.op_type in UNARY and inputs[0] is twins[0]:
            return self._unary(node, inputs)
        if node.op_type in ("Add", "Sub", "Mul", "Div") and len(inputs) == 2:
            return self._binary(node, inputs, twins)
        if node.op_type == "Reshape":
            return self._heads(node)
        return False

    def _unary(self, node: ir.Node, inputs: Sequence[ir.Value]) -> bool:
        twin = self.turned[inputs[0]]
        if len(twins := [v for v in inputs if v in self.turned]) > 1 and twins:
            return False
        self._replace(node, [twin.value, *node.inputs[1:]], twin)
        return True

    def _binary(self, node: ir.Node, inputs: Sequence[ir.Value], twins: Sequence[ir.Value]) -> bool:
        if len(twins) == 2 or inputs[0] is inputs[1]:
            first, second = (self.turned[value] for value in inputs)
            if first.rank != second.rank or not _same(first.order, second.order):
                return False
            self._replace(node, [first.value, second.value], first)
            return True
        twin = self.turned[twins[0]]
        other = inputs[1] if inputs[0] is twins[0] else inputs[0]
        numbers = constant(other)
        operand = self._operand(node, other, numbers, twin) if numbers is not None else None
        if operand is None:
            return False
        pair = [twin.value, operand] if inputs[0] is twins[0] else [operand, twin.value]
        self._replace(node, pair, twin)
        return True

    def _operand(
        self, node: ir.Node, value: ir.Value, numbers: NDArray[Any], twin: Turned
    ) -> ir.Value | None:
        """A constant operand as the twin needs it; None if it varies along another axis."""
        if numbers.size == 1:
            return self.build.constant(numbers.reshape(()), f"{value.name}.scalar")
        axis = -1 if twin.rank < 4 else -3
        if numbers.ndim < -axis or numbers.shape[axis] != numbers.size:
            return None
        flat = numbers.reshape(-1)
        if twin.order is not None:
            length = int(size(twin.value, 1) or twin.order.max() + 1)
            spread = np.full(length, 1 if node.op_type == "Div" else 0, flat.dtype)
            spread[twin.order] = flat
            flat = spread
        shape = (-1, 1) if twin.rank < 4 else (-1, 1, 1)
        return self.build.constant(flat.reshape(shape), f"{value.name}.turned")

    def _heads(self, node: ir.Node) -> bool:
        """[b, s, c] → [b, s, h, d] → Transpose → [b, h, s, d]: from the twin by one transpose."""
        source, target = node.inputs[0], node.outputs[0]
        users = list(target.uses())
        if source not in self.turned or self.turned[source].rank != 3 or len(users) != 1:
            return False
        transpose = users[0].node
        permutation = transpose.attributes.get("perm")
        heads, depth = (size(target, axis) if rank(target) == 4 else None for axis in (2, 3))
        if transpose.op_type != "Transpose" or permutation is None:
            return False
        if tuple(permutation.as_ints()) != (0, 2, 1, 3):
            return False
        if heads is None or depth is None or target.is_graph_output():
            return False
        if heads * depth != size(source, 2):
            return False
        shape = self.build.constant(np.array([0, heads, depth, -1], np.int64), "lottoc.heads")
        twin = self.ordered(self.turned[source], node)
        split = self.build.node(node, "Reshape", [twin, shape], f"{target.name}.split")
        result = self.build.node(node, "Transpose", [split], "heads", perm=[0, 1, 3, 2])
        result.shape, result.type = transpose.outputs[0].shape, transpose.outputs[0].type
        self._take_over(transpose, result)
        return True

    def _take_over(self, old: ir.Node, new: ir.Value) -> None:
        """Let everyone who reads an existing node's output read another value instead."""
        output = old.outputs[0]
        for use in list(output.uses()):
            use.node.replace_input_with(use.idx, new)
        for at, value in enumerate(self.build.graph.outputs):
            if value is output:
                self.build.graph.outputs[at] = new
                output.name, new.name = f"{output.name}.old", output.name

    def _replace(self, node: ir.Node, inputs: Sequence[ir.Value | None], twin: Turned) -> None:
        attributes = list(node.attributes.values())
        new = ir.Node("", node.op_type, inputs, attributes, num_outputs=1)
        output = node.outputs[0]
        name = self.build.fresh(f"{output.name}.turned")
        new.outputs[0].name = new.name = name
        new.outputs[0].type, new.outputs[0].shape = output.type, twin.value.shape
        self.build.graph.insert_before(node, new)
        self.turned[output] = Turned(new.outputs[0], twin.order, twin.rank)


def _same(first: Order | None, second: Order | None) -> bool:
    if first is None or second is None:
        return first is second
    return np.array_equal(first, second)
