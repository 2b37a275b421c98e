"""ONNX models whose weights are cut up, or put together of several, before they are multiplied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from lottoc.backends import onnx as backend
from lottoc.diagnostics import InputError
from lottoc.frontends.onnx_model import open_onnx

DRAW = np.random.default_rng(0)


def save(
    path: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], width: int = 3
) -> None:
    """A model of input x [n, 4] and output y [n, width]."""
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", width])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.write_bytes(model.SerializeToString())


def numbers(*shape: int) -> np.ndarray:
    return DRAW.normal(size=shape).astype(np.float32)


def columns(path: Path) -> None:
    """x · a · b, a and b next to one another in one matrix [in, out]."""
    nodes = [
        helper.make_node("Split", ["w", "sizes"], ["a", "b"], axis=1),
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("MatMul", ["h", "b"], ["y"]),
    ]
    save(path, nodes, {"w": numbers(4, 7), "sizes": np.array([4, 3], np.int64)})


def rows(path: Path) -> None:
    """The same below one another, [out, in], each turned before it is read."""
    nodes = [
        helper.make_node("Split", ["w", "sizes"], ["a", "b"], axis=0),
        helper.make_node("Transpose", ["a"], ["at"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "at"], ["h"]),
        helper.make_node("Gemm", ["h", "b"], ["y"], transB=1),
    ]
    save(path, nodes, {"w": numbers(7, 4), "sizes": np.array([4, 3], np.int64)})


def together(path: Path) -> None:
    """Two matrices that are one layer."""
    nodes = [
        helper.make_node("Concat", ["w", "v"], ["both"], axis=0),
        helper.make_node("Transpose", ["both"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "turned"], ["y"]),
    ]
    save(path, nodes, {"w": numbers(3, 4), "v": numbers(2, 4)}, 5)


SHAPES = {columns: {"w": (7, 4)}, rows: {"w": (7, 4)}, together: {"w": (3, 4), "v": (2, 4)}}


@pytest.mark.parametrize("make", SHAPES)
def test_they_are_layers(make: object, tmp_path: Path) -> None:
    make(tmp_path / "m.onnx")  # type: ignore[operator]
    model = open_onnx(tmp_path / "m.onnx")
    assert {n: w.layer.shape for n, w in model.weights.items()} == SHAPES[make]  # type: ignore[index]
    assert all(w.in_parts and not w.readers for w in model.weights.values())
    masks = {x.name: DRAW.random(x.shape) < 0.4 for x in model.signature}
    masks[next(iter(masks))][1] = False
    proto = onnx.load(tmp_path / "m.onnx")
    for tensor in proto.graph.initializer:
        if tensor.name in masks:
            weight = model.weights[tensor.name]
            mask = masks[tensor.name].T if weight.transposed else masks[tensor.name]
            own = numpy_helper.to_array(tensor) * mask
            tensor.CopyFrom(numpy_helper.from_array(own, tensor.name))
    reference = onnxruntime.InferenceSession(proto.SerializeToString())
    x = numbers(5, 4)
    for format in ("dense", "packed", "sparse", "auto"):
        backend.emit(model, tmp_path / "out.onnx", masks, format=format)
        assert backend.verify(tmp_path / "out.onnx", model, masks, format=format).layers
        session = onnxruntime.InferenceSession(str(tmp_path / "out.onnx"))
        np.testing.assert_array_equal(
            session.run(None, {"x": x})[0], reference.run(None, {"x": x})[0]
        )


def test_their_inputs_are_not_looked_at(tmp_path: Path) -> None:
    columns(tmp_path / "m.onnx")
    model = open_onnx(tmp_path / "m.onnx")
    with pytest.raises(InputError) as caught:
        list(model.walk(lambda name: None).stages(["w"], [{"x": numbers(2, 4)}]))
    assert caught.value.diagnostics[0].code == "layer-apart"


def test_a_part_that_is_added_is_no_layer(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Split", ["w"], ["a", "b"], axis=0, num_outputs=2),
        helper.make_node("Add", ["x", "a"], ["h"]),
        helper.make_node("Mul", ["h", "b"], ["y"]),
    ]
    save(tmp_path / "m.onnx", nodes, {"w": numbers(2, 4)}, 4)
    assert not open_onnx(tmp_path / "m.onnx").weights
