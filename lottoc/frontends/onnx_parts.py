"""Where the numbers of weights go that an ONNX graph cuts up, or puts together of several.

Instead of its numbers, those of a weight are followed by their positions: the operators that give
them other places are run on these, and a product knows which it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lottoc.frontends.onnx_file import Node, read_nodes
from lottoc.frontends.onnx_model import OnnxModel
from lottoc.frontends.onnx_places import inside_body

if TYPE_CHECKING:
    from lottoc.frontends.onnx_tensor import Tensor

Ids = NDArray[np.int64]
Shapes = Mapping[str, tuple[int, ...]]
_MOVING = frozenset({"Slice", "Split", "Concat", "Transpose", "Unsqueeze"})
_KEEPING = frozenset({"Identity", "Cast"})
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
OTHER = -1
"""The position of a number of no weight that is followed."""


@dataclass(frozen=True)
class PartUse:
    """A product: the positions that it multiplies, and from the shape of `value` how often each."""

    ids: Ids
    value: str
    times: Callable[[tuple[int, ...]], float]


@dataclass
class Parts:
    """The uses of some layers of a model; `firsts` are where each one's positions begin.

    Raises `InputError` (flops-unknown) for those of a body.
    """

    model: OnnxModel
    layers: Sequence[str]
    uses: list[PartUse] = field(default_factory=list)
    firsts: dict[str, int] = field(default_factory=dict)
    total: int = 0

    def __post_init__(self) -> None:
        file, known = self.model.file, dict[str, Ids]()
        for layer in self.layers:
            stored, self.firsts[layer] = self.model.weights[layer].stored, self.total
            size = math.prod(stored.dims)
            known[stored.name] = np.arange(self.total, self.total + size).reshape(stored.dims)
            self.total += size
        constants = dict(file.initializers)
        for node in file.nodes:
            for name in known.keys() & set(_inside(node)):
                if (position := int(known[name].max(initial=OTHER))) != OTHER:
                    raise inside_body(self.model, self._layer_at(position))
            if (made := file.constant(node)) is not None:
                constants[made.name] = made
            elif any(name in known for name in node.inputs):
                self._follow(node, known, constants)

    def _layer_at(self, position: int) -> str:
        return [layer for layer, first in self.firsts.items() if first <= position][-1]

    def _follow(self, node: Node, known: dict[str, Ids], constants: Mapping[str, Tensor]) -> None:
        if node.op in _KEEPING:
            known[node.outputs[0]] = known[node.inputs[0]]
        elif node.op in _MOVING:
            first = node.inputs if node.op == "Concat" else node.inputs[:1]
            for name in first:
                if name not in known and name in constants:
                    known[name] = np.full(constants[name].dims, OTHER, np.int64)
            if all(name in known for name in first):
                how = {
                    n: constants[n].read() for n in node.inputs if n in constants and n not in known
                }
                known.update(_moved(node, {n: known[n] for n in first} | how, self.model))
        else:
            for index, name in enumerate(node.inputs):
                if name in known and (use := _use(node, index, known[name])) is not None:
                    self.uses.append(use)

    def places(self, shapes: Shapes) -> dict[str, NDArray[np.float64]]:
        """How often each weight of each layer is used, of the layers' own shapes."""
        times = np.zeros(self.total)
        for use in self.uses:
            kept = use.ids[use.ids != OTHER]
            np.add.at(times, kept, use.times(shapes[use.value]))
        found = {}
        for layer in self.layers:
            weight, first = self.model.weights[layer], self.firsts[layer]
            mine = times[first : first + weight.layer.size].reshape(weight.stored.dims)
            found[layer] = mine.T if weight.transposed else mine
        return found


def _inside(node: Node) -> Iterator[str]:
    """What the bodies of a node read."""
    for body in node.bodies():
        for inner in read_nodes(body):
            yield from inner.inputs
            yield from _inside(inner)


def _use(node: Node, index: int, ids: Ids) -> PartUse | None:
    """What a node does with a weight, if it multiplies; of a product its size tells the places."""
    if node.op in _RECURRENT and index in (1, 2):  # [steps, examples, in], or the first two turned
        return PartUse(ids, node.inputs[0], lambda shape: shape[0] * shape[1])
    if node.op == "Conv" and index == 1:
        rows = ids.shape[0]
    elif node.op == "MatMul" and index in (0, 1) and ids.ndim == 2:
        rows = ids.shape[index]
    elif node.op == "Gemm" and index in (0, 1):
        turned = bool(node.integer("transB" if index else "transA", 0))
        rows = ids.shape[index - turned]
    else:
        return None
    return PartUse(ids, node.outputs[0], lambda shape: math.prod(shape) / rows)


def _moved(node: Node, given: Mapping[str, Any], model: OnnxModel) -> dict[str, Ids]:
    """What an operator makes of positions, by onnx's reference implementation."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    proto = onnx.NodeProto()
    proto.ParseFromString(bytes(model.file.buffer[node.message.start : node.message.end]))
    graph = onnx.helper.make_graph(
        [proto],
        "move",
        [onnx.helper.make_tensor_value_info(name, 0, None) for name in given],
        [onnx.helper.make_tensor_value_info(name, 0, None) for name in node.outputs],
    )
    opset = onnx.helper.make_opsetid("", model.file.opset)
    run = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=[opset]))
    return dict(zip(node.outputs, run.run(None, dict(given)), strict=True))
