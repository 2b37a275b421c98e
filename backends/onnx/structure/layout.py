"""Values and their twins: the same numbers, channel-major and with channels in another order.

A grouped layer reads and writes [batch, channels, places]. Sequences [batch, places, channels] and
rows [batch, channels] have to be turned for it, and its output rows come in the order of their
groups. Both are put off: a value whose producer was rewritten exists only as its twin until
somebody needs the value itself, and then it is made once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lottoc.backends.onnx.structure.builder import Builder
from lottoc.backends.onnx.structure.operators import integers, rank, size

Order = NDArray[np.int64]

BLOCK = 16
"""onnxruntime is fast at a depthwise convolution only if its channels come in such blocks."""

TURN = (0, 2, 1)
"""[batch, places, channels] to [batch, channels, places], and back."""


class Layout(Enum):
    """How the axes of a twin follow from those of its value."""

    PLAIN = "the same axes, channels on axis 1"
    TURNED = "[b, s, c] as [b, c, s], and [b, c] as [1, c, b]"
    HEADS = "[b, s, heads, depth] as [b, heads, depth, s]"


@dataclass(frozen=True)
class Twin:
    """A value's numbers, arranged otherwise.

    `rank` is the rank of the value and `channels` how many it has. Channel j of it is channel
    `order[j]` of the twin, which may have more, for padding: `length`. `order` is None where
    nothing is out of order.
    """

    value: ir.Value
    layout: Layout
    rank: int
    channels: int
    order: Order | None = None
    length: int = 0
    one_row: bool = False
    """Whether the value is known to be one row of channels: two axes, the first of length 1."""

    @property
    def is_the_value(self) -> bool:
        """Whether there is nothing to put right."""
        return self.layout is Layout.PLAIN and self.order is None


def has_one_row(value: ir.Value) -> bool:
    """Whether a value is [1, channels], whatever the model is given."""
    return value.shape is not None and len(value.shape) == 2 and value.shape[0] == 1


@dataclass
class Twins:
    """The twins of a graph's values while it is rewritten from front to back."""

    build: Builder
    only: dict[ir.Value, Twin] = field(default_factory=dict)
    """Values whose producer is gone."""
    restored: dict[ir.Value, ir.Value] = field(default_factory=dict)
    made: dict[tuple[ir.Value, Layout], Twin] = field(default_factory=dict)
    """Twins of values that exist."""
    rows_made: set[ir.Node] = field(default_factory=set)
    """What makes a row of a convolution's output."""

    def twin(self, value: ir.Value, layout: Layout, before: ir.Node) -> Twin:
        """The twin of a value in a layout; its channels may be in any order."""
        known = self.only.get(value)
        if known is not None and known.layout is layout:
            return known
        if (value, layout) not in self.made:
            self.made[value, layout] = self._make(value, layout, before)
        return self.made[value, layout]

    def _make(self, value: ir.Value, layout: Layout, before: ir.Node) -> Twin:
        known = self.only.get(value)
        if known is not None and (known.layout, known.rank) == (Layout.PLAIN, 2):
            turned = self._turn_rows(known.value, before)
            return replace(known, value=turned, layout=layout)
        if known is not None:
            value = self.restore(value, before)
        length = rank(value) or 0
        if layout is Layout.PLAIN:
            return Twin(value, layout, length, size(value, 1) or 0, one_row=has_one_row(value))
        turn = self._turn_rows if length == 2 else self._turn_places
        return Twin(turn(value, before), layout, length, size(value, length - 1) or 0)

    def _turn_rows(self, value: ir.Value, before: ir.Node) -> ir.Value:
        axis = self.build.integers([0], "lottoc.axis")
        row = self.build.node(before, "Unsqueeze", [value, axis], f"{value.name}.row")
        return self.build.node(before, "Transpose", [row], f"{value.name}.turned", perm=TURN)

    def _turn_places(self, value: ir.Value, before: ir.Node) -> ir.Value:
        producer = value.producer()
        if producer is not None and producer.op_type == "Transpose":
            source = producer.inputs[0]
            if integers(producer, "perm", ()) == TURN and source is not None:
                return source
        joined = self._join_heads(value, before)
        if joined is not None:
            return joined
        return self.build.node(before, "Transpose", [value], f"{value.name}.turned", perm=TURN)

    def _join_heads(self, value: ir.Value, before: ir.Node) -> ir.Value | None:
        """[b, h, s, d] → Transpose → [b, s, h, d] → Reshape → [b, s, h·d], turned at once."""
        reshape = value.producer()
        transpose = reshape.inputs[0].producer() if reshape and reshape.inputs[0] else None
        if reshape is None or transpose is None:
            return None
        if (reshape.op_type, transpose.op_type) != ("Reshape", "Transpose"):
            return None
        heads, channels = transpose.inputs[0], size(value, 2)
        if heads is None or integers(transpose, "perm", ()) != (0, 2, 1, 3):
            return None
        split = (size(heads, 1), size(heads, 3)) if rank(heads) == 4 else (None, None)
        if channels is None or split[0] is None or split[1] is None:
            return None
        if split[0] * split[1] != channels:
            return None
        turned = self.build.node(
            before, "Transpose", [heads], f"{value.name}.heads", perm=(0, 1, 3, 2)
        )
        shape = self.build.integers([0, channels, -1], "lottoc.join")
        return self.build.node(before, "Reshape", [turned, shape], f"{value.name}.turned")

    def put(self, value: ir.Value, twin: Twin) -> None:
        """A value exists as this twin only, from here on."""
        self.only[value] = twin

    def in_order(self, twin: Twin, before: ir.Node | None) -> ir.Value:
        """The twin with its channels in order."""
        if twin.order is None:
            return twin.value
        return self.pick(twin, twin.order, f"{twin.value.name}.order", before)

    def in_order_of(self, twin: Twin, other: Twin, before: ir.Node) -> ir.Value:
        """The twin with its channels where another has them; padding is arbitrary."""
        if other.order is None:
            return self.in_order(twin, before)
        places = np.zeros(other.length, np.int64)
        places[other.order] = np.arange(twin.channels) if twin.order is None else twin.order
        return self.pick(twin, places, f"{twin.value.name}.order", before)

    def in_blocks(self, twin: Twin, before: ir.Node) -> Twin:
        """The twin with whole blocks of channels, the last one padded."""
        if twin.order is None or twin.length % BLOCK == 0:
            return twin
        order = np.arange(twin.channels)
        places = np.zeros(-(-twin.channels // BLOCK) * BLOCK, np.int64)
        places[order] = twin.order
        value = self.pick(twin, places, f"{twin.value.name}.order", before)
        return replace(twin, value=value, order=order, length=places.size)

    def pick(
        self, twin: Twin, places: Order, index: str, before: ir.Node | None, name: str = ""
    ) -> ir.Value:
        """The channels at these places of a twin; `index` and `name` are names for what is made.

        One row is picked by GatherElements, nearly three times as fast as Gather is for it
        (`benchmarks/one_row.py`), but slower for many.
        """
        value, name = twin.value, name or f"{twin.value.name}.ordered"
        if not (twin.one_row and twin.layout is Layout.PLAIN and twin.rank == 2):
            numbers = self.build.constant(places.astype(np.int32), index)
            return self.build.node(before, "Gather", [value, numbers], name, axis=1)
        numbers = self.build.constant(places.astype(np.int32)[None], index)
        return self.build.node(before, "GatherElements", [value, numbers], name, axis=1)

    def row(self, value: ir.Value, axis: ir.Value | None, name: str, before: ir.Node) -> ir.Value:
        """[b, c] of a convolution's [b, c, 1]."""
        result = self.build.node(before, "Squeeze", [value, axis], name)
        made = result.producer()
        assert made is not None
        self.rows_made.add(made)
        return result

    def restore(self, value: ir.Value, before: ir.Node | None) -> ir.Value:
        """The value itself, for whoever cannot work on its twin."""
        if value not in self.restored:
            twin = self.only[value]
            result = self.put_right(twin, before, f"{value.name}.restored")
            if not twin.is_the_value:
                result.shape, result.type = value.shape, value.type
            self.restored[value] = result
        return self.restored[value]

    def put_right(self, twin: Twin, before: ir.Node | None, name: str = "") -> ir.Value:
        """The axes of a twin as its value has them, its channels in order."""
        result, name = self.in_order(twin, before), name or f"{twin.value.name}.right"
        if twin.layout is Layout.HEADS:
            result = self.build.node(before, "Transpose", [result], name, perm=(0, 3, 1, 2))
        elif twin.layout is Layout.TURNED:
            result = self.build.node(before, "Transpose", [result], name, perm=TURN)
            if twin.rank == 2:
                axis = self.build.integers([0], "lottoc.axis")
                result = self.build.node(before, "Squeeze", [result, axis], name)
        return result
