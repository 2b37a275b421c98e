"""Adds nodes and constants to a graph that is being rewritten, under names nothing else has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


@dataclass
class Builder:
    """Puts new nodes before a place in a graph; small constants that are equal are one."""

    graph: ir.Graph
    names: set[str] = field(default_factory=set)
    constants: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = [*self.graph.inputs, *self.graph.initializers.values()]
        for node in self.graph.all_nodes():
            values += [v for v in (*node.inputs, *node.outputs) if v is not None]
        self.names = {v.name or "" for v in values}

    def fresh(self, wish: str) -> str:
        """A name nothing has yet."""
        name, number = wish, 0
        while name in self.names:
            number += 1
            name = f"{wish}.{number}"
        self.names.add(name)
        return name

    def constant(self, numbers: NDArray[Any], wish: str) -> ir.Value:
        """An initializer; one that is there already if it has the same numbers."""
        numbers = np.asarray(numbers, order="C")
        key = (str(numbers.dtype), numbers.shape, numbers.tobytes())
        if key not in self.constants:
            self.constants[key] = self.large(numbers, wish)
        return self.constants[key]

    def large(self, numbers: NDArray[Any], wish: str) -> ir.Value:
        """An initializer that is not compared with others."""
        name = self.fresh(wish)
        tensor = ir.tensor(np.asarray(numbers, order="C"), name=name)
        shape, kind = ir.Shape(numbers.shape), ir.TensorType(tensor.dtype)
        value = ir.Value(name=name, shape=shape, type=kind, const_value=tensor)
        self.graph.register_initializer(value)
        return value

    def integers(self, numbers: Sequence[int], wish: str) -> ir.Value:
        """An initializer of int64, such as a shape or axes."""
        return self.constant(np.array(numbers, np.int64), wish)

    def node(
        self,
        before: ir.Node | None,
        op: str,
        inputs: Sequence[ir.Value | None],
        wish: str,
        **attributes: Any,
    ) -> ir.Value:
        """A new node, at the end of the graph if `before` is None; its output."""
        made = {k: ir.convenience.convert_attribute(k, v) for k, v in attributes.items()}
        return self.node_with(before, op, inputs, wish, made)

    def node_with(
        self,
        before: ir.Node | None,
        op: str,
        inputs: Sequence[ir.Value | None],
        wish: str,
        attributes: Mapping[str, ir.Attr],
    ) -> ir.Value:
        """The same with attributes that are ready, such as another node's."""
        new = self._made(op, inputs, wish, attributes)
        if before is None:
            self.graph.append(new)
        else:
            self.graph.insert_before(before, new)
        return new.outputs[0]

    def node_after(
        self,
        value: ir.Value,
        op: str,
        inputs: Sequence[ir.Value | None],
        wish: str,
        attributes: Mapping[str, ir.Attr] | None = None,
    ) -> ir.Value:
        """A new node right behind what makes a value, before all that reads it."""
        new, producer = self._made(op, inputs, wish, attributes or {}), value.producer()
        if producer is not None:
            self.graph.insert_after(producer, new)
        else:
            self.graph.insert_before(next(iter(self.graph)), new)
        return new.outputs[0]

    def _made(
        self,
        op: str,
        inputs: Sequence[ir.Value | None],
        wish: str,
        attributes: Mapping[str, ir.Attr],
    ) -> ir.Node:
        new = ir.Node("", op, inputs, list(attributes.values()), num_outputs=1)
        new.outputs[0].name = new.name = self.fresh(wish)
        if inputs[0] is not None and inputs[0].dtype is not None:
            new.outputs[0].type = ir.TensorType(inputs[0].dtype)
        return new
