"""Every artefact runs with equal outputs in a runtime that has nothing to do with onnxruntime too.

Here that is the reference evaluator of the ONNX project, which follows the specification word by
word; benchmarks/second_runtime.py does the same for real models in OpenVINO.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_toys import run

from lottoc.backends.onnx import emit
from lottoc.diagnostics import InputError
from lottoc.frontends.onnx_model import OnnxModel, open_onnx
from lottoc.lower.emits import KINDS
from lottoc.masks.groups import keep_groups
from lottoc.masks.select import keep_best, keep_n_of_m

PATTERNS = ("unstructured", "2:4", "1:4", "groups")
VALUES = ("same", "float16")
INPUT = np.random.default_rng(5).standard_normal((2, 8, 6, 6)).astype(np.float32)


def network() -> onnx.ModelProto:
    """Two convolutions, a Gemm and a MatMul, with a residual between."""
    rng = np.random.default_rng(0)
    shapes = {"a": (16, 8, 3, 3), "b": (16, 16, 1, 1), "c": (24, 16), "d": (24, 12)}
    tensors = [
        numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), f"{name}.weight")
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "a.weight"], ["a"], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["ra"]),
        helper.make_node("Conv", ["ra", "b.weight"], ["b"]),
        helper.make_node("Add", ["b", "ra"], ["sum"]),
        helper.make_node("GlobalAveragePool", ["sum"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["flat"]),
        helper.make_node("Gemm", ["flat", "c.weight"], ["c"], transB=1),
        helper.make_node("Sigmoid", ["c"], ["sc"]),
        helper.make_node("MatMul", ["sc", "d.weight"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8, 6, 6])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 12])
    graph = helper.make_graph(nodes, "g", [x], [y], tensors)
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def masks(model: OnnxModel, pattern: str) -> dict[str, np.ndarray]:
    found = {}
    for layer in model.signature:
        scores = np.abs(model.layer(layer.name))
        if pattern == "groups":
            found[layer.name] = keep_groups(scores, 4, max(1, layer.shape[1] // 4), None, True)
        elif pattern == "unstructured":
            found[layer.name] = keep_best(scores, layer.size // 10)
        else:
            n, m = map(int, pattern.split(":"))
            found[layer.name] = keep_n_of_m(scores, n, m)
    return found


def masked(model: OnnxModel, kept: dict[str, np.ndarray]) -> onnx.ModelProto:
    """The oracle: mask times weight, made with the onnx package alone."""
    proto = onnx.load(model.path)
    of = {model.weights[name].stored.name: name for name in kept}
    for tensor in proto.graph.initializer:
        name = of[tensor.name]
        mask = kept[name].T if model.weights[name].transposed else kept[name]
        numbers = numpy_helper.to_array(tensor) * mask
        tensor.CopyFrom(numpy_helper.from_array(numbers, tensor.name))
    return proto


def spelt_out(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Sparse constants written out by the standard's definition: the evaluator fails at them."""
    for node in proto.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "sparse_value":
            sparse = node.attribute[0].sparse_tensor
            values = numpy_helper.to_array(sparse.values)
            full = np.zeros(int(np.prod(sparse.dims)), values.dtype)
            full[numpy_helper.to_array(sparse.indices)] = values
            tensor = numpy_helper.from_array(full.reshape(sparse.dims), node.output[0])
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("value", tensor))
    return proto


def refused(format: str, pattern: str, values: str) -> bool:
    """What `emit` does not write, by name: other patterns as groups, narrow values as they are."""
    return (format == "groups" and pattern != "groups") or (
        values != "same" and format in ("dense", "sparse")
    )


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("format", KINDS["onnx"].formats)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_both_runtimes_agree(pattern: str, format: str, values: str, tmp_path: Path) -> None:
    onnx.save(network(), tmp_path / "dense.onnx")
    model, out = open_onnx(tmp_path / "dense.onnx"), tmp_path / "out.onnx"
    kept = masks(model, pattern)
    if refused(format, pattern, values):
        with pytest.raises(InputError):
            emit(model, out, kept, format=format, values=values)
        return
    reports = emit(model, out, kept, format=format, values=values)
    if format not in ("auto", "groups"):
        assert {report.format for report in reports} == {format}
    expected = run(out, {"x": INPUT})
    (actual,) = ReferenceEvaluator(spelt_out(onnx.load(out))).run(None, {"x": INPUT})
    np.testing.assert_allclose(actual, expected, atol=1e-5 * np.abs(expected).max())
    (wanted,) = ReferenceEvaluator(masked(model, kept)).run(None, {"x": INPUT})
    tolerance = 1e-5 if values == "same" else 5e-3
    np.testing.assert_allclose(actual, wanted, atol=tolerance * np.abs(wanted).max())
