"""Reads the wiring of an ONNX graph: which channels of which values go where, through which layers.

It is what `lottoc.masks.signal` works on. Operators inside the bodies of others, and those that
`units` cannot follow, pass every channel on to every other.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir

from lottoc.backends.onnx.structure.operators import constant
from lottoc.backends.onnx.structure.rewritten import invalid_model
from lottoc.backends.onnx.structure.units import Linear, Units, find_units
from lottoc.masks.signal import Read, Step, Use, Wiring

SIZES_ONLY = frozenset({"Shape", "Size"})
"""Their outputs tell how large an input is, and nothing of what is in it."""


def read_wiring(path: Path, layers: Mapping[str, str], numbers: bool = True) -> Wiring:
    """The wiring of the main graph of a model file; `layers` has their names by stored weight.

    Without `numbers` no weight is taken for zero. Raises `InputError` (onnx-invalid).
    """
    from onnx_ir.passes.common import LiftConstantsToInitializersPass, ShapeInferencePass

    logger = logging.getLogger("onnx_ir")
    before = logger.level
    logger.setLevel(logging.CRITICAL)  # it warns of what is no fault, with tracebacks
    try:
        program = ir.load(str(path))
        program = LiftConstantsToInitializersPass(size_limit=0)(program).model
        program = ShapeInferencePass()(program).model
    except Exception as error:
        raise invalid_model(path, error) from error
    finally:
        logger.setLevel(before)
    return wiring_of(program.graph, layers, numbers=numbers)


def wiring_of(graph: ir.Graph, layers: Mapping[str, str], *, numbers: bool = True) -> Wiring:
    """The same of a graph with inferred shapes, its nodes in topological order."""
    return _Reader(find_units(graph), layers, numbers).read(graph)


class _Reader:
    def __init__(self, units: Units, layers: Mapping[str, str], numbers: bool) -> None:
        self.units, self.layers, self.looks_at_numbers = units, layers, numbers
        self.linears = {linear.node: linear for linear in units.linears}
        self.depthwise = set(units.depthwise)
        self.numbers: dict[ir.Value, int] = {}
        self.wiring = Wiring()

    def read(self, graph: ir.Graph) -> Wiring:
        for value in graph.inputs:
            if value.name not in graph.initializers:
                self.wiring.inputs.append(self._new(value))
        for node in graph:
            self._node(node)
        for value in graph.outputs:
            if value in self.numbers:
                self.wiring.outputs.append((value.name or "", self.numbers[value]))
        return self.wiring

    def _new(self, value: ir.Value) -> int:
        carrier = self.units.carriers.get(value)
        self.numbers[value] = len(self.wiring.widths)
        self.wiring.widths.append(1 if carrier is None else carrier.ids.size)
        return self.numbers[value]

    def _node(self, node: ir.Node) -> None:
        if node in self.linears or node in self.depthwise:
            self._use(node)
            return
        sources = [] if node.op_type in SIZES_ONLY else self._sources(node)
        for output in node.outputs:
            target = self._new(output)
            reads = [Read(self.numbers[v], self._places(node, v, output)) for v in sources]
            if node.op_type == "Concat" and output in self.units.carriers:
                reads = self._concatenated(node, output) or reads
            self.wiring.steps.append(Step(target, tuple(reads)))

    def _use(self, node: ir.Node) -> None:
        source, weight = node.inputs[0], node.inputs[1]
        assert source is not None
        assert weight is not None
        linear, name = self.linears.get(node), weight.name or ""
        name = self.layers.get(name, name)
        if self.looks_at_numbers and name not in self.wiring.own:
            self._look(name, node, linear)
        if source not in self.numbers:  # a constant, multiplied by another
            self.wiring.steps.append(Step(self._new(node.outputs[0]), ()))
            return
        at = self.numbers[source]
        groups = 1 if linear is None else linear.groups
        target = self._new(node.outputs[0])
        self.wiring.steps.append(Use(name, at, target, groups, depthwise=linear is None))

    def _look(self, name: str, node: ir.Node, linear: Linear | None) -> None:
        weight = linear.weight if linear is not None else constant(node.inputs[1])
        assert weight is not None
        edges = np.asarray(weight.reshape(*weight.shape[:2], -1).any(axis=2))
        if not edges.all():
            self.wiring.own[name] = edges

    def _sources(self, node: ir.Node) -> list[ir.Value]:
        """Values that a node, or a node in a body of it, reads; constants carry no signal."""
        return [v for v in dict.fromkeys(_read(node)) if v in self.numbers]

    def _places(
        self, node: ir.Node, source: ir.Value, target: ir.Value
    ) -> np.ndarray[tuple[int], np.dtype[np.int64]] | None:
        """Which channel of the source each one of the target is, where both are known."""
        carriers = self.units.carriers
        if source not in carriers or target not in carriers:
            return None
        width, own = carriers[target].ids.size, carriers[source].ids.size
        if node.op_type in ("Flatten", "Reshape"):
            return np.repeat(np.arange(own), width // own)
        return np.arange(width) if own == width else None

    def _concatenated(self, node: ir.Node, output: ir.Value) -> list[Read]:
        """Along the channels' own axis; nothing along another, where channels stay themselves."""
        width, start = self.units.carriers[output].ids.size, 0
        reads = []
        for value in node.inputs:
            assert value is not None
            length = self.units.carriers[value].ids.size
            places = np.full(width, -1)
            places[start : start + length] = np.arange(min(length, width - start))
            reads.append(Read(self.numbers[value], places))
            start += length
        return reads if start == width else []


def _read(node: ir.Node) -> Iterator[ir.Value]:
    yield from (value for value in node.inputs if value is not None)
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            bodies = [attribute.as_graph()]
        elif attribute.type == ir.AttributeType.GRAPHS:
            bodies = list(attribute.as_graphs())
        else:
            continue
        for body in bodies:
            for inner in body:
                yield from _read(inner)
            yield from body.outputs
