"""Gives constants of a graph new numbers, for one node at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lottoc.backends.onnx.structure.operators import constant

LARGE = 1 << 18
"""Bytes from which on a constant is not kept in memory."""

Change = Callable[[NDArray[np.generic]], NDArray[np.generic]]


@dataclass
class Constants:
    """The new constants of a graph; `mark` ends their names for as long as the old ones stay."""

    graph: ir.Graph
    mark: str
    made: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = field(default_factory=dict)

    def replace(self, node: ir.Node, index: int, change: Change) -> None:
        """Give one input of one node new numbers; others that share the constant keep theirs."""
        value = node.inputs[index]
        numbers = constant(value)
        assert value is not None
        assert numbers is not None
        changed = change(numbers)
        if changed is not numbers:
            again = partial(_changed, value, change)
            node.replace_input_with(index, self.initializer(value.name or "", changed, again))

    def initializer(
        self,
        name: str,
        numbers: NDArray[np.generic],
        again: Callable[[], ir.TensorProtocol] | None = None,
    ) -> ir.Value:
        """A new constant; equal ones made from the same constant are one.

        Large ones are made anew with `again` whenever they are read: one at a time is in memory.
        """
        numbers = np.ascontiguousarray(numbers)
        key = (
            name,
            numbers.shape,
            hashlib.sha256(numbers.reshape(-1).view(np.uint8).data).digest(),
        )
        if key not in self.made:
            fresh = f"{name}.{self.mark}"
            while fresh in self.graph.initializers:
                fresh += "+"
            tensor: ir.TensorProtocol = ir.tensor(numbers, name=fresh)
            shape, kind = ir.Shape(numbers.shape), tensor.dtype
            if again is not None and numbers.nbytes >= LARGE:
                tensor = ir.LazyTensor(again, dtype=kind, shape=shape, name=fresh, cache=False)
            value = ir.Value(name=fresh, shape=shape, type=ir.TensorType(kind), const_value=tensor)
            self.graph.register_initializer(value)
            self.made[key] = value
        return self.made[key]

    def settle(self) -> None:
        """Drop constants that nobody reads any more; new ones take over the names of theirs."""
        for name in [n for n, v in self.graph.initializers.items() if not v.uses()]:
            if not self.graph.initializers[name].is_graph_output():
                del self.graph.initializers[name]
        for (name, _, _), value in self.made.items():
            if name not in self.graph.initializers:  # nobody has the numbers of before
                value.name = name


def _changed(value: ir.Value, change: Change) -> ir.TensorProtocol:
    numbers = constant(value)
    assert numbers is not None
    return ir.tensor(np.ascontiguousarray(change(numbers)))
