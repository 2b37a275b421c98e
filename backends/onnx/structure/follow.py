"""Lets operators work on twins instead of values, so that turning and ordering can wait.

Each rule takes a node that reads a twin and either rebuilds the node on the twin, so that its
output has a twin as well, or declines: then the value itself is restored for the node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lottoc.backends.onnx.structure.layout import TURN, Layout, Twin, Twins
from lottoc.backends.onnx.structure.operators import (
    BINARY,
    POOLING,
    REDUCTIONS,
    UNARY,
    constant,
    integer,
    integers,
    rank,
    reduced_axes,
    size,
)


@dataclass(frozen=True)
class Follower:
    """Applies the rules to one node after the other. Weights in `kept` must not be rearranged.

    `small` says that layers give out bytes: then no value that is there as well is turned to be
    added to a layer's output, which is put right for less.
    """

    twins: Twins
    kept: frozenset[str]
    small: bool = False

    def follow(self, node: ir.Node) -> bool:
        """Rebuild a node on twins; False if it needs the values themselves."""
        known = [self.twins.only[v] for v in node.inputs if v in self.twins.only]
        if all(twin.is_the_value for twin in known) or node.domain not in ("", "ai.onnx"):
            return False
        rule = RULES.get(node.op_type)
        if rule is None or any(output.uses() for output in node.outputs[1:]):
            return False
        if any(output.is_graph_output() for output in node.outputs[1:]):
            return False
        return rule(self, node)

    def rebuild(
        self, node: ir.Node, inputs: Sequence[ir.Value | None], like: Twin, op: str = ""
    ) -> None:
        """The node, or another operator without attributes, on other inputs; its output's twin."""
        output = node.outputs[0]
        attributes = {} if op else node.attributes
        name = f"{output.name}.twin"
        made = self.twins.build.node_with(node, op or node.op_type, inputs, name, attributes)
        made.type = output.type
        self.twins.put(output, replace(like, value=made, rank=rank(output) or like.rank))

    def unary(self, node: ir.Node) -> bool:
        """An operator that works on each element alone; its other inputs are settings."""
        source, *settings = node.inputs
        if source not in self.twins.only or any(v in self.twins.only for v in settings):
            return False
        twin = self.twins.only[source]
        made = twin.value.producer()
        if made is None or made not in self.twins.rows_made:
            self.rebuild(node, [twin.value, *settings], twin)
            return True
        # next to the convolution, which onnxruntime then computes it with
        place, axis = made.inputs
        self.rebuild(node, [place, *settings], twin)
        inner = self.twins.only[node.outputs[0]]
        row = self.twins.row(inner.value, axis, f"{node.outputs[0].name}.row", node)
        self.twins.put(node.outputs[0], replace(inner, value=row))
        return True

    def binary(self, node: ir.Node) -> bool:
        """Two twins, or a twin and a constant with one number a channel or one for all."""
        if len(node.inputs) != 2:
            return False
        first, second = node.inputs
        assert first is not None
        assert second is not None
        if self._known(first) and self._known(second):
            if self.small and not (first in self.twins.only and second in self.twins.only):
                return False
            return self._join(node, first, second)
        value, other = (first, second) if first in self.twins.only else (second, first)
        operand = self._operand(node, other, self.twins.only[value])
        if operand is None:
            return False
        twin = self.twins.only[value]
        pair = (twin.value, operand) if value is first else (operand, twin.value)
        self.rebuild(node, pair, twin)
        return True

    def _known(self, value: ir.Value) -> Twin | None:
        """A value's only twin, or that which a layer made of it: the value is there as well."""
        return self.twins.only.get(value) or self.twins.made.get((value, Layout.TURNED))

    def _join(self, node: ir.Node, first: ir.Value, second: ir.Value) -> bool:
        one, two = self._known(first), self._known(second)
        assert one is not None
        assert two is not None
        if (one.layout, one.rank, one.channels) != (two.layout, two.rank, two.channels):
            return False
        if same_order(one, two):
            self.rebuild(node, (one.value, two.value), one)
        elif _is_smaller(first, second):
            again = self.twins.in_order_of(one, two, node)
            self.rebuild(node, (again, two.value), two)
        else:
            again = self.twins.in_order_of(two, one, node)
            self.rebuild(node, (one.value, again), one)
        return True

    def _operand(self, node: ir.Node, other: ir.Value, twin: Twin) -> ir.Value | None:
        """What a twin is combined with instead of `other`; None if that varies along more axes."""
        numbers = constant(other)
        if numbers is None:
            return other if rank(other) == 0 else None
        if numbers.ndim > twin.rank:
            return None
        if numbers.size == 1:
            return self.twins.build.constant(numbers.reshape(()), f"{other.name}.scalar")
        axis = 1 - twin.rank if twin.layout is Layout.PLAIN else -1
        lies = twin.layout is not Layout.HEADS and numbers.ndim >= -axis
        if not lies or numbers.shape[axis] != numbers.size or numbers.size != twin.channels:
            return None
        flat = spread(numbers.reshape(-1), twin, 1 if node.op_type in ("Div", "Pow") else 0)
        behind = 1 if twin.layout is Layout.TURNED else twin.rank - 2
        return self.twins.build.constant(flat.reshape(-1, *(1,) * behind), f"{other.name}.channels")

    def batch_norm(self, node: ir.Node) -> bool:
        """Mean, variance, scale and bias go with their channels."""
        source, *settings = node.inputs
        numbers = [constant(value) for value in settings]
        if source not in self.twins.only or integer(node, "training_mode", 0):
            return False
        twin = self.twins.only[source]
        fits = all(n is not None and n.size == twin.channels for n in numbers)
        if twin.layout is not Layout.PLAIN or not fits:
            return False
        inputs: list[ir.Value | None] = [twin.value]
        for value, given, fill in zip(settings, numbers, (0, 0, 0, 1), strict=True):
            assert value is not None
            assert given is not None
            inputs.append(
                self.twins.build.constant(spread(given, twin, fill), f"{value.name}.twin")
            )
        self.rebuild(node, inputs, twin)
        return True

    def depthwise(self, node: ir.Node) -> bool:
        """A convolution of each channel by itself; its filters go with their channels."""
        source, *own = node.inputs
        weight = constant(own[0])
        bias = constant(own[1]) if len(own) > 1 and own[1] is not None else None
        if source not in self.twins.only or weight is None or (own[0] and own[0].name in self.kept):
            return False
        twin, groups = self.twins.only[source], integer(node, "group", 1)
        if twin.layout is not Layout.PLAIN or (groups, 1) != weight.shape[:2]:
            return False
        if bias is None and len(own) > 1 and own[1] is not None:
            return False
        twin = self.twins.in_blocks(twin, node)
        inputs = [twin.value]
        for value, numbers in zip(own, (weight, bias), strict=False):
            if value is not None and numbers is not None:
                moved = spread(numbers, twin, 0)
                inputs.append(self.twins.build.constant(moved, f"{value.name}.twin"))
        self.rebuild(node, inputs, twin)
        made = self.twins.only[node.outputs[0]].value.producer()
        assert made is not None
        made.attributes["group"] = ir.AttrInt64(
            "group", groups if twin.order is None else twin.length
        )
        return True

    def pooling(self, node: ir.Node) -> bool:
        """Channels stay apart."""
        if self.twins.only[node.inputs[0]].layout is not Layout.PLAIN:  # type: ignore[index]
            return False
        return self.unary(node)

    def reduction(self, node: ir.Node) -> bool:
        """Over all places of a plain value."""
        source = node.inputs[0]
        twin = self.twins.only.get(source) if source is not None else None
        if twin is None or twin.layout is not Layout.PLAIN:
            return False
        if reduced_axes(node, twin.rank) != tuple(range(2, twin.rank)) or twin.rank < 3:
            return False
        if rank(node.outputs[0]) not in (2, twin.rank):
            return False
        return self.unary(node)

    def concat(self, node: ir.Node) -> bool:
        """Channels of several twins behind one another."""
        values = [value for value in node.inputs if value is not None]
        first = next(self.twins.only[v] for v in values if v in self.twins.only)
        axis = integer(node, "axis", 0) % first.rank
        if axis != (1 if first.layout is Layout.PLAIN else first.rank - 1):
            return False
        parts = [self._part(value) for value in values]
        alike = all((part.layout, part.rank) == (first.layout, first.rank) for part in parts)
        if not alike or first.layout is Layout.HEADS or not all(part.channels for part in parts):
            return False
        orders, start = [], 0
        for part in parts:
            order = np.arange(part.channels) if part.order is None else part.order
            orders.append(order + start)
            start += part.channels if part.order is None else part.length
        channels = sum(part.channels for part in parts)
        like = replace(first, channels=channels, order=np.concatenate(orders), length=start)
        self.rebuild(node, [part.value for part in parts], like)
        made = self.twins.only[node.outputs[0]].value.producer()
        assert made is not None
        made.attributes["axis"] = ir.AttrInt64("axis", 1)
        return True

    def _part(self, value: ir.Value) -> Twin:
        known = self.twins.only.get(value)
        return known or Twin(value, Layout.PLAIN, rank(value) or 0, size(value, 1) or 0)

    def transpose(self, node: ir.Node) -> bool:
        """What is turned already need not be turned again; heads are turned from where they are."""
        twin, output = self.twins.only[node.inputs[0]], node.outputs[0]  # type: ignore[index]
        order = integers(node, "perm", ())
        if twin.layout is Layout.HEADS and len(order) == 4:
            now = (0, 2, 3, 1)
            order = tuple(now.index(axis) for axis in order)
            value = twin.value
            if order != (0, 1, 2, 3):
                build = self.twins.build
                value = build.node(node, "Transpose", [value], f"{output.name}.twin", perm=order)
            value.shape, value.type = output.shape, output.type
            self.twins.put(output, Twin(value, Layout.PLAIN, 4, size(output, 1) or 0))
            return True
        if twin.rank == 3 and order == TURN:
            other = Layout.TURNED if twin.layout is Layout.PLAIN else Layout.PLAIN
            self.twins.put(output, replace(twin, layout=other))
            return True
        return False

    def reshape(self, node: ir.Node) -> bool:
        """Places merge or vanish, or channels split into heads."""
        source, output = node.inputs[0], node.outputs[0]
        twin = self.twins.only.get(source) if source is not None else None
        if twin is None or source is None:
            return False
        channels = twin.channels
        if twin.layout is Layout.TURNED:
            return twin.rank == 3 and rank(output) == 4 and self._split(node, twin)
        if twin.layout is not Layout.PLAIN:
            return False
        places = [size(source, axis) or 0 for axis in range(2, twin.rank)]
        count = int(np.prod(places, dtype=np.int64))
        lengths = [size(output, axis) for axis in range(1, rank(output) or 1)]
        if not count or lengths[:1] not in ([channels], [channels * count]):
            return False
        if lengths == [channels * count]:
            return self._flatten(node, twin, count)
        if lengths != [channels, count] and (lengths != [channels, 1, 1] or count != 1):
            return False
        end = [-1] if len(lengths) == 2 else [1, 1]
        shape = self.twins.build.integers([0, 0, *end], "lottoc.places")
        self.rebuild(node, [twin.value, shape], twin, "Reshape")
        return True

    def _flatten(self, node: ir.Node, twin: Twin, count: int) -> bool:
        order = twin.order
        if order is not None:
            order = (order[:, None] * count + np.arange(count)).reshape(-1)
        channels, length = twin.channels * count, twin.length * count
        like = replace(twin, channels=channels, order=order, length=length)
        self.rebuild(node, [twin.value], like, "Flatten")
        return True

    def _split(self, node: ir.Node, twin: Twin) -> bool:
        """[b, s, c] → [b, s, heads, depth]: as [b, heads, depth, s] it is a view of the twin."""
        heads, depth = size(node.outputs[0], 2), size(node.outputs[0], 3)
        if heads is None or depth is None or heads * depth != twin.channels:
            return False
        ordered = self.twins.in_order(twin, node)
        shape = self.twins.build.integers([0, heads, depth, -1], "lottoc.heads")
        like = Twin(ordered, Layout.HEADS, 4, twin.channels)
        self.rebuild(node, [ordered, shape], like, "Reshape")
        return True


def same_order(one: Twin, two: Twin) -> bool:
    """Whether two twins have their channels in the same places."""
    if one.order is None or two.order is None:
        return one.order is two.order
    return one.length == two.length and np.array_equal(one.order, two.order)


def spread(numbers: NDArray[Any], twin: Twin, fill: int) -> NDArray[Any]:
    """Numbers [channels, …] put where a twin has its channels; `fill` in its padding."""
    if twin.order is None:
        return numbers
    result = np.full((twin.length, *numbers.shape[1:]), fill, numbers.dtype)
    result[twin.order] = numbers
    return result


def _is_smaller(first: ir.Value, second: ir.Value) -> bool:
    """Whether a value is broadcast to another, and so is cheaper to rearrange."""
    return (
        first.shape is not None
        and second.shape is not None
        and any(a == 1 != b for a, b in zip(first.shape[1:], second.shape[1:], strict=False))
    )


Rule = Callable[[Follower, ir.Node], bool]

RULES: dict[str, Rule] = {
    **dict.fromkeys(UNARY, Follower.unary),
    **dict.fromkeys(BINARY, Follower.binary),
    **dict.fromkeys(POOLING, Follower.pooling),
    **dict.fromkeys(REDUCTIONS, Follower.reduction),
    "BatchNormalization": Follower.batch_norm,
    "Conv": Follower.depthwise,
    "Concat": Follower.concat,
    "Transpose": Follower.transpose,
    "Reshape": Follower.reshape,
    "Flatten": Follower.reshape,
    "Squeeze": Follower.reshape,
    "Unsqueeze": Follower.reshape,
}
"""By operator; whatever is not here restores the values it reads."""


def find_turns(graph: ir.Graph, layers: Mapping[ir.Node, str]) -> dict[str, tuple[float, float]]:
    """By layer: what share of a transpose it needs before it and after it, were all in groups.

    `layers` are the nodes and what their layers are called. Layers that meet directly, or with
    operators between them that work on twins, need none; those that read one value share one.
    """
    origins: dict[ir.Value, frozenset[str]] = {}
    before, after = dict.fromkeys(layers.values(), 0.0), dict.fromkeys(layers.values(), 1.0)
    readers = Counter(node.inputs[0] for node in layers)
    for node in graph:
        carried = [origins[v] for v in node.inputs if v is not None and v in origins]
        if node in layers:
            name, source = layers[node], node.inputs[0]
            before[name] += 0.0 if source in origins else 1 / readers[source]
            for origin in origins.get(source, ()) if source is not None else ():
                after[origin] = 0.0
            origins[node.outputs[0]] = frozenset([name])
        elif carried and node.op_type in RULES:
            origins |= dict.fromkeys(node.outputs, frozenset().union(*carried))
    return {name: (before[name], after[name]) for name in before}
