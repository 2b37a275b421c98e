"""Small ONNX models made with the onnx package, and what masking must make of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.generic]
ELEMENT = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}
ELEMENT |= {"float64": TensorProto.DOUBLE, "bfloat16": TensorProto.BFLOAT16}


@dataclass
class Toy:
    """A model with one prunable weight; `canonical` says how the stored weight turns."""

    proto: onnx.ModelProto
    weight: str
    layer: str
    shape: tuple[int, ...]
    transposed: bool
    inputs: list[dict[str, Array]] = field(default_factory=list)

    def save(self, folder: Path, name: str = "model.onnx") -> Path:
        path = folder / name
        path.write_bytes(self.proto.SerializeToString())
        return path

    def masked(self, mask: NDArray[np.bool_], weight: Array | None = None) -> onnx.ModelProto:
        """The dense model with mask * weight, made without lottoc."""
        model = onnx.ModelProto()
        model.CopyFrom(self.proto)
        for tensor in _tensors(model):
            if tensor.name == self.weight:
                own = numpy_helper.to_array(tensor)
                new = own if weight is None else weight
                stored_mask = mask.T if self.transposed else mask
                new = new.T if weight is not None and self.transposed else new
                value = np.where(stored_mask, new, np.zeros((), own.dtype)).astype(own.dtype)
                tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
        return model


def _tensors(model: onnx.ModelProto) -> list[TensorProto]:
    constants = [
        attribute.t
        for node in model.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    ]
    return [*model.graph.initializer, *constants]


LINEAR = ("matmul", "matmul-lhs", "gemm", "gemm-transposed", "shared", "constant", "turned")
CONV = ("conv1d", "conv2d", "conv-grouped")


def build(
    kind: str,
    rows: int,
    columns: int,
    *,
    dtype: str = "float32",
    seed: int = 0,
    opset: int = 17,
    ir_version: int = 8,
) -> Toy:
    """A model of one kind; `rows` x `columns` is the canonical [out, in] of a linear layer."""
    rng = np.random.default_rng(seed)
    numpy_type = np.dtype(dtype)
    make = _conv if kind in CONV else _linear
    toy = make(kind, rows, columns, numpy_type, rng)
    toy.proto.ir_version = ir_version
    toy.proto.opset_import[0].version = opset
    return toy


def _linear(kind: str, out: int, width: int, dtype: np.dtype, rng: np.random.Generator) -> Toy:
    element = ELEMENT[dtype.name]
    weight = rng.standard_normal((out, width)).astype(dtype)
    bias = rng.standard_normal(out).astype(dtype)
    transposed = kind in ("matmul", "gemm", "shared", "constant")
    stored = np.ascontiguousarray(weight.T) if transposed else weight
    tensors = [numpy_helper.from_array(stored, "fc.weight")]
    x_shape: list[int | str] = ["n", width]
    y_shape: list[int | str] = ["n", out]
    nodes = [helper.make_node("MatMul", ["x", "fc.weight"], ["y"], name="mm")]
    if kind == "matmul-lhs":
        nodes = [helper.make_node("MatMul", ["fc.weight", "x"], ["y"], name="mm")]
        x_shape, y_shape = [width, "n"], [out, "n"]
    elif kind in ("gemm", "gemm-transposed"):
        flag = int(kind == "gemm-transposed")
        nodes = [helper.make_node("Gemm", ["x", "fc.weight", "b"], ["y"], name="mm", transB=flag)]
        tensors.append(numpy_helper.from_array(bias, "b"))
    elif kind == "shared":
        nodes = [
            helper.make_node("MatMul", ["x", "fc.weight"], ["u"], name="mm"),
            helper.make_node("Tanh", ["x"], ["t"], name="tanh"),
            helper.make_node("MatMul", ["t", "fc.weight"], ["v"], name="mm2"),
            helper.make_node("Add", ["u", "v"], ["y"], name="add"),
        ]
    elif kind == "constant":
        value = tensors.pop()
        nodes.insert(0, helper.make_node("Constant", [], ["fc.weight"], name="c", value=value))
    elif kind == "turned":
        nodes = [
            helper.make_node("Transpose", ["fc.weight"], ["w"], name="t", perm=[1, 0]),
            helper.make_node("MatMul", ["x", "w"], ["y"], name="mm"),
        ]
    proto = _model(nodes, element, x_shape, y_shape, tensors)
    toy = Toy(proto, "fc.weight", "fc", (out, width), transposed)
    size = (width, 3) if kind == "matmul-lhs" else (3, width)
    toy.inputs = [{"x": rng.standard_normal(size).astype(dtype)}]
    return toy


def _conv(kind: str, out: int, width: int, dtype: np.dtype, rng: np.random.Generator) -> Toy:
    groups = 2 if kind == "conv-grouped" else 1
    kernel = (3,) if kind == "conv1d" else (3, 2)
    weight = rng.standard_normal((out * groups, width, *kernel)).astype(dtype)
    node = helper.make_node("Conv", ["x", "c.weight"], ["y"], name="conv", group=groups)
    sizes = (7,) if kind == "conv1d" else (7, 6)
    left = [size - k + 1 for size, k in zip(sizes, kernel, strict=True)]
    tensors = [numpy_helper.from_array(weight, "c.weight")]
    x_shape: list[int | str] = ["n", width * groups, *sizes]
    proto = _model([node], ELEMENT[dtype.name], x_shape, ["n", out * groups, *left], tensors)
    toy = Toy(proto, "c.weight", "c", weight.shape, False)
    toy.inputs = [{"x": rng.standard_normal((2, width * groups, *sizes)).astype(dtype)}]
    return toy


def _model(
    nodes: list[onnx.NodeProto],
    element: int,
    x_shape: list[int | str],
    y_shape: list[int | str],
    tensors: list[TensorProto],
) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", element, x_shape)
    y = helper.make_tensor_value_info("y", element, y_shape)
    graph = helper.make_graph(nodes, "g", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def run(model: Path | bytes, inputs: dict[str, Array]) -> Array:
    """The first output, computed by onnxruntime with its default optimizations."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, inputs)[0])


def random_mask(shape: tuple[int, ...], density: float, seed: int = 0) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random(shape) < density
