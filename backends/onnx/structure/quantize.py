"""Lets grouped layers multiply in int8: quantizes what they read and what they give.

    x --Gather--> --Conv--> y       becomes

    x --QuantizeLinear--> --Gather--> --DequantizeLinear--> --Conv--> --QuantizeLinear-->
      --DequantizeLinear--> y

which onnxruntime, as other runtimes that know the standard's way to write quantized layers, runs as
one convolution of bytes with sums in int32. Numbers are quantized before they are turned or
gathered and given back after it, as bytes move faster; what one layer gives another, through a Relu
or Clip at most, stays bytes. A value is quantized once, whoever reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from lottoc.backends.onnx.quantized import LARGEST_SUM, Scale, bias_numbers
from lottoc.backends.onnx.structure.builder import Builder
from lottoc.backends.onnx.structure.operators import constant
from lottoc.backends.onnx.structure.rewritten import load_graph
from lottoc.backends.onnx.values import narrow
from lottoc.frontends.onnx_schema import DataType

MOVING = frozenset(
    {
        *("Flatten", "Gather", "GatherElements", "Identity", "Reshape"),
        *("Squeeze", "Transpose", "Unsqueeze"),
    }
)
"""Operators that put numbers elsewhere and change none."""

FOLLOWED = MOVING - {"Reshape", "Flatten"}
"""Those that bytes are taken through behind a layer. A Reshape costs nothing in any type, and what
stands behind it, such as the product of attention, is fused with what it reads in floats only."""

CUTTING = frozenset(["Clip", "Relu"])
"""Activations that quantizing can do as well: they cut off what is out of range."""

SMALL = ".int8"


@dataclass(frozen=True)
class Point:
    """A layer that is to be quantized: the values whose ranges it needs."""

    weight: str
    source: str
    result: str


@dataclass(frozen=True)
class Quantized:
    """What was done: the weights whose layers multiply in int8, and why others do not."""

    weights: frozenset[str]
    refused: Mapping[str, str]


@dataclass(frozen=True)
class _Layer:
    """A grouped convolution, and the value that its output becomes before it is quantized."""

    node: ir.Node
    weight: ir.Value
    source: ir.Value
    result: ir.Value


def find_points(path: Path, weights: Iterable[str]) -> list[Point]:
    """The layers with these weights in the model at `path`, in its order."""
    graph = load_graph(path, path.parent, path).graph
    return [
        Point(layer.weight.name or "", layer.source.name or "", layer.result.name or "")
        for layer in _layers(graph, frozenset(weights))
    ]


def quantize(
    path: Path, weights: Iterable[str], scales: Mapping[str, Scale], output: Path
) -> Quantized:
    """Write the model at `path` to `output` with the layers of these weights quantized.

    `scales` has all values that `find_points` names.
    """
    program = load_graph(path, path.parent, path)
    rewrite, layers = _Rewrite(program.graph, scales), _layers(program.graph, frozenset(weights))
    done = rewrite.quantize(layers)
    RemoveUnusedNodesPass()(program)
    rewrite.give_back()
    RemoveUnusedNodesPass()(program)
    if done.weights:
        ir.save(program, str(output), external_data=f"{output.stem}.data")
    return done


def _layers(graph: ir.Graph, weights: frozenset[str]) -> Iterator[_Layer]:
    for node in list(graph):
        weight = node.inputs[1] if node.op_type == "Conv" else None
        if weight is None or weight.name not in weights or weight.dtype != ir.DataType.FLOAT:
            continue
        source = node.inputs[0]
        assert source is not None
        yield _Layer(node, weight, _origin(source), _cut(node.outputs[0]))


def _origin(value: ir.Value) -> ir.Value:
    """The value that this one is made from by putting numbers elsewhere."""
    while (before := _moved(value)) is not None:
        value = before
    return value


def _moved(value: ir.Value) -> ir.Value | None:
    """What a value is a rearrangement of, if it is one whose places are fixed."""
    node = value.producer()
    if node is None or node.op_type not in MOVING or node.domain not in ("", "ai.onnx"):
        return None
    source, *settings = node.inputs
    if source is None or source.dtype != ir.DataType.FLOAT or constant(source) is not None:
        return None
    if node.op_type in ("Gather", "GatherElements"):
        # one place of many, such as a sentence's first token, is better quantized alone
        places = constant(settings[0])
        return source if places is not None and places.ndim > 0 else None
    return source


def _cut(value: ir.Value) -> ir.Value:
    """A layer's output, or what a Relu or Clip that alone reads it makes of it."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return value
    node = uses[0].node
    cuts = node.op_type in CUTTING and uses[0].idx == 0 and node.graph is value.graph
    fixed = all(end is None or constant(end) is not None for end in node.inputs[1:])
    return node.outputs[0] if cuts and fixed else value


@dataclass
class _Rewrite:
    graph: ir.Graph
    scales: Mapping[str, Scale]
    build: Builder = field(init=False)
    small: dict[ir.Value, ir.Value] = field(default_factory=dict)
    """The bytes of a value."""
    wide: dict[ir.Value, ir.Value] = field(default_factory=dict)
    """What those bytes are given back as."""
    done: list[_Layer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.build = Builder(self.graph)

    def quantize(self, layers: Iterable[_Layer]) -> Quantized:
        """Quantize the layers that can be."""
        refused = dict[str, str]()
        groups: dict[ir.Value, list[_Layer]] = {}
        for layer in layers:
            groups.setdefault(layer.weight, []).append(layer)
        for weight, readers in groups.items():
            numbers = constant(weight)
            assert numbers is not None
            stored = narrow(numbers, DataType.FLOAT, DataType.INT8)
            assert stored.scales is not None
            reason = next(filter(None, (self._obstacle(r, stored.scales) for r in readers)), "")
            if reason:
                refused[weight.name or ""] = reason
                continue
            for layer in readers:
                self._quantize(layer, stored.scales)
            self.done += readers
        return Quantized(frozenset(layer.weight.name or "" for layer in self.done), refused)

    def give_back(self) -> None:
        """Give back what is read in floats of what quantized layers make."""
        for layer in self.done:
            self._release(layer.result, self._scale(layer.result))

    def _scale(self, value: ir.Value) -> Scale:
        return self.scales[value.name or ""]

    def _obstacle(self, layer: _Layer, scales: NDArray[np.float32]) -> str:
        """Why a layer's sums would not fit into int32; empty if they do."""
        shape = layer.weight.shape
        assert shape is not None
        products = int(np.prod(shape.numpy()[1:]))
        bias = self._bias(layer)
        if bias is None and len(layer.node.inputs) > 2 and layer.node.inputs[2] is not None:
            return "its bias is not a constant"
        steps = 0.0
        if bias is not None:
            unit = self._scale(layer.source).scale * scales
            steps = float(np.abs(bias.astype(np.float64) / unit.astype(np.float64)).max(initial=0))
        if not products * 255 * 127 + steps < LARGEST_SUM:
            return "its sums do not fit into 32 bits"
        return ""

    def _bias(self, layer: _Layer) -> NDArray[np.float32] | None:
        numbers = constant(layer.node.inputs[2]) if len(layer.node.inputs) > 2 else None
        return None if numbers is None else numbers.astype(np.float32)

    def _quantize(self, layer: _Layer, scales: NDArray[np.float32]) -> None:
        node, source = layer.node, layer.node.inputs[0]
        assert source is not None
        scale = self._scale(layer.source)
        node.replace_input_with(0, self._give_back(source, scale))
        bias = self._bias(layer)
        if bias is not None:
            node.replace_input_with(2, self._small_bias(layer, bias, scale, scales))

    def _small_bias(
        self,
        layer: _Layer,
        bias: NDArray[np.float32],
        scale: Scale,
        scales: NDArray[np.float32],
    ) -> ir.Value:
        """In int32, in the unit of the sums: that is what such a convolution takes."""
        numbers, units = bias_numbers(bias, scale, scales)
        name = f"{layer.weight.name}.{layer.result.name}"
        stored = self.build.large(numbers, f"{name}.bias{SMALL}")
        unit = self.build.large(units, f"{name}.bias.scale")
        made = self.build.node(
            layer.node, "DequantizeLinear", [stored, unit], f"{name}.bias", axis=0
        )
        made.type = ir.TensorType(ir.DataType.FLOAT)
        return made

    def _constants(self, scale: Scale) -> tuple[ir.Value, ir.Value]:
        step = self.build.constant(np.array(scale.scale, np.float32), "lottoc.scale")
        return step, self.build.constant(np.array(scale.zero, np.uint8), "lottoc.zero")

    def _bytes(self, value: ir.Value, scale: Scale) -> ir.Value:
        """A value in bytes: what it is a rearrangement of is quantized, and rearranged then."""
        if value not in self.small:
            before = _moved(value)
            if before is None or value.name in self.scales:
                settings = self._constants(scale)
                made = self.build.node_after(
                    value, "QuantizeLinear", [value, *settings], f"{value.name}{SMALL}"
                )
            else:
                node, moved = value.producer(), self._bytes(before, scale)
                assert node is not None
                made = self.build.node_after(
                    value,
                    node.op_type,
                    [moved, *node.inputs[1:]],
                    f"{value.name}{SMALL}",
                    node.attributes,
                )
            made.type = ir.TensorType(ir.DataType.UINT8)
            self.small[value] = made
        return self.small[value]

    def _give_back(self, value: ir.Value, scale: Scale) -> ir.Value:
        """A value as the floats that its bytes mean."""
        if value not in self.wide:
            small = self._bytes(value, scale)
            name = f"{value.name}.rounded"
            made = self.build.node_after(
                small, "DequantizeLinear", [small, *self._constants(scale)], name
            )
            # Without a shape: where both sides of a residual connection have one, onnxruntime joins
            # addition and normalization into an operator that takes three times as long.
            made.type = ir.TensorType(ir.DataType.FLOAT)
            self.wide[value] = made
        return self.wide[value]

    def _release(self, value: ir.Value, scale: Scale) -> None:
        """Let whoever reads a layer's output in floats read what its bytes give back."""
        own = self._bytes(value, scale).producer()
        for use in list(value.uses()):
            node = use.node
            if node is own or node.graph is None:
                continue
            here = use.idx == 0 and node.graph is self.graph  # and not in the body of a loop
            if here and node.op_type in FOLLOWED and _moved(node.outputs[0]) is value:
                self._bytes(node.outputs[0], scale)
                self._release(node.outputs[0], scale)
            else:
                node.replace_input_with(use.idx, self._give_back(value, scale))
        if value.is_graph_output():
            self._put_out(value, self._give_back(value, scale))

    def _put_out(self, value: ir.Value, given: ir.Value) -> None:
        at, name = list(self.graph.outputs).index(value), value.name
        value.name = self.build.fresh(f"{name}.exact")
        given.name, given.shape = name, value.shape
        self.graph.outputs[at] = given
