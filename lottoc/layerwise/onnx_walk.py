"""Walks through an ONNX network: onnxruntime runs it piece by piece, weights stay on disk.

The graph is cut before every value that a layer to be looked at multiplies. What is alive at a cut
is an output of the piece before it and an input of the piece after it, for every batch; so each
node runs once, and of the weights no more is loaded than those of one piece.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lottoc.diagnostics import input_error
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_file import Node, read_nodes
from lottoc.frontends.onnx_layers import Reader
from lottoc.frontends.onnx_model import OnnxModel
from lottoc.layerwise.scratch import Scratch
from lottoc.layerwise.walk import Batch, Observe

if TYPE_CHECKING:
    from lottoc.frontends.onnx_tensor import Tensor

Changed = Callable[[str], NDArray[Any] | None]

_FED = 16 << 20
"""Bytes; larger tensors are lent to onnxruntime from the mapped file rather than copied."""


class OnnxWalk:
    """A model as a sequence of pieces."""

    def __init__(self, model: OnnxModel, changed: Changed = lambda layer: None) -> None:
        """`changed` gives the weights that take the place of the file's, canonical, by layer."""
        self.model, self.changed = model, changed
        self.replaced: dict[str, Callable[[], NDArray[Any]]] = {}
        self.layer_of = {weight.stored.name: name for name, weight in model.weights.items()}
        self.tensors: dict[str, Tensor] = dict(model.file.initializers)
        self.nodes: list[Node] = []
        for node in model.file.nodes:
            constant = model.file.constant(node)
            if constant is None:
                self.nodes.append(node)
            else:
                self.tensors[constant.name] = constant

    def replace(self, layer: str, weight: Callable[[], NDArray[Any]]) -> None:
        """Use this weight from now on."""
        self.replaced[layer] = weight

    def constant(self, name: str) -> NDArray[Any]:
        """A stored tensor, or what takes its place."""
        layer = self.layer_of.get(name)
        if layer is None:
            return self.tensors[name].read()
        new = self.replaced[layer]() if layer in self.replaced else self.changed(layer)
        if new is None:
            return self.tensors[name].read()
        place = self.model.weights[layer]
        dtype = schema.numpy_type(place.stored.data_type)
        return np.ascontiguousarray(new.T if place.transposed else new, dtype=dtype)

    def count(self, layers: Sequence[str]) -> int:
        """How many stages there will be."""
        return len(self._cuts(layers))

    def runs(self, layer: str) -> int:
        """How many different values the layer multiplies."""
        readers = self.model.weights[layer].readers
        return len({reader.node.inputs[1 - reader.index] for reader in readers})

    def _cuts(self, layers: Sequence[str]) -> list[tuple[int, dict[str, list[tuple[str, Reader]]]]]:
        """Where to cut: node numbers, with the values multiplied there and by which layers."""
        position = {id(node): number for number, node in enumerate(self.nodes)}
        first: dict[str, int] = {}
        groups: dict[str, list[tuple[str, Reader]]] = {}
        for layer in layers:
            if self.model.weights[layer].in_parts:
                raise input_error(
                    "layer-apart",
                    f'parts of the weight of layer "{layer}" are multiplied with inputs of their '
                    "own",
                    file=str(self.model.path),
                    help=[f'leave it out with  layers = … - "{layer}"'],
                )
            for reader in self.model.weights[layer].readers:
                if id(reader.node) not in position:
                    raise input_error(
                        "layer-in-body",
                        f'layer "{layer}" is inside the body of an If, Loop or Scan, '
                        "where its inputs cannot be looked at",
                        file=str(self.model.path),
                        help=[f'leave it out with  layers = … - "{layer}"'],
                    )
                value = reader.node.inputs[1 - reader.index]
                first[value] = min(first.get(value, len(position)), position[id(reader.node)])
                groups.setdefault(value, []).append((layer, reader))
        cuts: dict[int, dict[str, list[tuple[str, Reader]]]] = {}
        for value, number in sorted(first.items(), key=lambda item: (item[1], item[0])):
            cuts.setdefault(number, {})[value] = groups[value]
        return sorted(cuts.items())

    def stages(self, layers: Sequence[str], batches: Sequence[Batch]) -> Iterator[OnnxStage]:
        """The stages up to the last of these layers."""
        cuts, start = self._cuts(layers), 0
        with Scratch() as scratch:
            alive = [scratch.keep(batch) for batch in batches]
            for number, (stop, groups) in enumerate(cuts):
                wanted = {value for _, later in cuts[number:] for value in later}
                alive = self._run(start, stop, alive, wanted, scratch)
                yield OnnxStage(self, alive, groups, scratch)
                start = stop

    def outputs(self, batches: Sequence[Batch]) -> Iterator[dict[str, NDArray[Any]]]:
        """The network's outputs for each batch, all of it in one piece."""
        with Scratch() as scratch:
            alive = [scratch.keep(batch) for batch in batches]
            wanted = set(self.model.file.outputs) - self.tensors.keys()
            for handle in self._run(0, len(self.nodes), alive, wanted, scratch):
                yield {name: scratch.get(handle)[name] for name in wanted}

    def shapes(self, batch: Batch, values: Collection[str]) -> dict[str, tuple[int, ...]]:
        """The shapes of some values that the network makes of a batch, in one run of it."""
        with Scratch() as scratch:
            alive = [scratch.keep(batch)]
            (handle,) = self._run(0, len(self.nodes), alive, set(values), scratch)
            found = scratch.get(handle)
            return {name: found[name].shape for name in values}

    def _run(
        self, start: int, stop: int, alive: list[int], wanted: set[str], scratch: Scratch
    ) -> list[int]:
        """Run nodes `start` up to `stop` on every batch; gives what is alive afterwards."""
        piece = _Piece(self, start, stop, wanted)
        if start == stop or not piece.outputs:
            return alive
        first = scratch.get(alive[0]) if alive else {}
        session = piece.session(first)

        def work(handle: int) -> int:
            values = scratch.get(handle)
            made = session(values)
            left = {name: values[name] for name in piece.passing if name in values}
            scratch.drop(handle)
            return scratch.keep({**left, **made})

        # one thread a batch, so that sums do not depend on the number of threads
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            return list(pool.map(work, alive))


@dataclass
class OnnxStage:
    """Layers whose inputs are alive at a cut."""

    walk: OnnxWalk
    alive: list[int]
    found: Mapping[str, Sequence[tuple[str, Reader]]]
    scratch: Scratch

    @property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """Layers by the value they multiply."""
        return {
            value: tuple(dict.fromkeys(layer for layer, _ in readers))
            for value, readers in self.found.items()
        }

    def observe(self, observe: Observe) -> None:
        """Show the values, batch by batch."""
        for handle in self.alive:
            values = self.scratch.get(handle)
            for value, readers in self.found.items():
                observe(value, as_rows(values[value], readers[0][1]))

    def replace(self, layer: str, weight: Callable[[], NDArray[Any]]) -> None:
        """Go on with another weight."""
        self.walk.replace(layer, weight)


def as_rows(value: NDArray[Any], reader: Reader) -> NDArray[np.float32]:
    """What a MatMul or Gemm multiplies its weight with, [rows, in]."""
    node = reader.node
    features_first = reader.index == 0  # W @ x
    if node.op == "Gemm":
        turned = node.integer("transB" if reader.index == 0 else "transA", 0)
        features_first = bool(turned) != features_first
    if features_first and value.ndim > 1:
        value = np.swapaxes(value, -1, -2)
    return np.ascontiguousarray(value.reshape(-1, value.shape[-1]), dtype=np.float32)


@dataclass
class _Piece:
    """Some nodes of the graph that follow one another, as a model of their own."""

    walk: OnnxWalk
    start: int
    stop: int
    wanted: set[str]
    inputs: list[str] = field(init=False)
    outputs: list[str] = field(init=False)
    passing: set[str] = field(init=False)
    """What nodes behind the piece read, or somebody wants to see."""
    constants: list[str] = field(init=False)

    def __post_init__(self) -> None:
        nodes = self.walk.nodes
        inside = nodes[self.start : self.stop]
        made = {name for node in inside for name in node.outputs if name}
        read = _read(inside)
        stored = self.walk.tensors
        self.inputs = sorted(read - made - stored.keys() - {""})
        self.constants = sorted((read - made) & stored.keys())
        last = max((i for i, n in enumerate(nodes) if self.wanted & _read([n])), default=-1)
        behind = _read(nodes[self.stop : max(last + 1, self.stop)])
        self.passing = (behind | self.wanted) - stored.keys()
        self.outputs = sorted(made & self.passing)

    def session(self, first: Mapping[str, NDArray[Any]]) -> Any:
        """A function from values to values; the types of inputs are those of the first batch."""
        import onnx
        import onnxruntime as ort

        fed = {n: self.walk.constant(n) for n in self.constants if self._bytes(n) >= _FED}
        missing = [name for name in self.inputs if name not in first]
        if missing:
            message = f'the model wants input "{missing[0]}", which the examples do not have'
            have = ", ".join(first) or "nothing"
            raise input_error(
                "onnx-inputs",
                message,
                file=str(self.walk.model.path),
                help=[f"they have {have}; name arrays after the model's inputs"],
            )
        model = self._model(onnx, {n: first[n] for n in self.inputs} | fed)
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        settings.log_severity_level = 4
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = ort.InferenceSession(
                model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no other base
            raise self._failed(error) from error
        lent = {n: ort.OrtValue.ortvalue_from_numpy(array) for n, array in fed.items()}

        def run(values: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            feed = {n: ort.OrtValue.ortvalue_from_numpy(values[n]) for n in self.inputs}
            try:
                made = session.run_with_ort_values(self.outputs, {**feed, **lent})
            except Exception as error:
                raise self._failed(error) from error
            return {n: v.numpy() for n, v in zip(self.outputs, made, strict=True)}

        return run

    def _failed(self, error: Exception) -> Exception:
        reason = str(error).strip().splitlines()[0][:300]
        return input_error(
            "onnx-run",
            f"onnxruntime cannot run the model on these examples: {reason}",
            file=str(self.walk.model.path),
            help=["names, types and shapes of the data must be those of the model's inputs"],
        )

    def _bytes(self, name: str) -> int:
        tensor = self.walk.tensors[name]
        return tensor.size * schema.item_bytes(tensor.data_type)

    def _model(self, onnx: Any, inputs: Mapping[str, NDArray[Any]]) -> Any:
        """The piece as a ModelProto: nodes byte for byte, opsets and functions of the whole."""
        file = self.walk.model.file
        model = onnx.ModelProto(ir_version=max(file.ir_version, 4))
        for part in file.model.fields:
            if part.number in (schema.Model.OPSET_IMPORT, schema.Model.FUNCTIONS):
                model.MergeFromString(bytes(file.buffer[part.begin : part.end]))
        graph = model.graph
        graph.name = "piece"
        for node in self.walk.nodes[self.start : self.stop]:
            message = node.message
            graph.node.add().ParseFromString(bytes(file.buffer[message.start : message.end]))
        for name, array in inputs.items():
            value = graph.input.add(name=name)
            value.type.tensor_type.elem_type = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        for name in self.outputs:
            graph.output.add(name=name)
        for name in self.constants:
            if name not in inputs:
                tensor = self.walk.tensors[name]
                raw = np.ascontiguousarray(self.walk.constant(name)).tobytes()
                graph.initializer.add(
                    name=name, data_type=tensor.data_type, dims=tensor.dims, raw_data=raw
                )
        return model


def _read(nodes: Sequence[Node]) -> set[str]:
    """Every value that nodes read, those that their bodies take from outside included."""
    found: set[str] = set()
    for node in nodes:
        found.update(node.inputs)
        for body in node.bodies():
            inner = list(read_nodes(body))
            own = {name for n in inner for name in n.outputs}
            own |= {m.text(1) for m in body.messages(schema.Graph.INPUT)}
            own |= {m.text(schema.Tensor.NAME) for m in body.messages(schema.Graph.INITIALIZER)}
            results = {m.text(1) for m in body.messages(schema.Graph.OUTPUT)}
            found |= (_read(inner) | results) - own
    return found
