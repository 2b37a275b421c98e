"""Removing dead units changes no output, and leaves none that could still go."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes.common import ShapeInferencePass

sys.path.insert(0, str(Path(__file__).parent))

from random_networks import Network, image_network, run, sequence_network

from lottoc.backends.onnx import emit, inspect, verify
from lottoc.backends.onnx.structure.dead_units import Removal, remove_dead_units
from lottoc.frontends.onnx_model import open_onnx


def shrink(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, Removal]:
    model = ir.from_proto(proto)
    model = ShapeInferencePass()(model).model
    removal = remove_dead_units(model)
    result = ir.to_proto(model)
    onnx.checker.check_model(result, full_check=True)
    return result, removal


def same(proto: onnx.ModelProto, smaller: onnx.ModelProto, shape: tuple[int, ...]) -> None:
    for seed in range(2):
        x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        for a, b in zip(run(proto, x), run(smaller, x), strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, atol=1e-5 * max(1.0, np.abs(a).max()))


@given(st.integers(0, 10_000))
@example(880)  # one weight sliced to [1, 2] here and [2, 1] there
@settings(max_examples=200, deadline=None)
def test_random_image_networks(seed: int) -> None:
    proto = image_network(seed)
    smaller, _ = shrink(proto)
    same(proto, smaller, (2, 3, 12, 12))


@given(st.integers(0, 10_000))
@settings(max_examples=80, deadline=None)
def test_random_sequence_networks(seed: int) -> None:
    proto = sequence_network(seed)
    smaller, _ = shrink(proto)
    same(proto, smaller, (2, 5, 8))


def test_most_random_networks_shrink() -> None:
    """The property above would hold of a pass that does nothing."""
    changed = sum(bool(shrink(image_network(seed))[1].layers) for seed in range(40))
    assert changed > 30


@pytest.mark.parametrize("seed", range(5))
def test_the_reference_evaluator_agrees(seed: int) -> None:
    proto = image_network(seed)
    smaller, _ = shrink(proto)
    x = np.random.default_rng(0).standard_normal((1, 3, 12, 12)).astype(np.float32)
    expected = ReferenceEvaluator(proto).run(None, {"x": x})
    actual = ReferenceEvaluator(smaller).run(None, {"x": x})
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1.0, np.abs(b).max()))


def mlp(first: np.ndarray, second: np.ndarray) -> tuple[onnx.ModelProto, Network]:
    net = Network(np.random.default_rng(0))
    hidden, out = first.shape[0], second.shape[0]
    bias = net.constant(np.arange(1, hidden + 1, dtype=np.float32))
    x = net.node("Gemm", "x", net.constant(first), bias, channels=hidden, transB=1)
    x = net.node("Relu", x, channels=hidden)
    x = net.node("Gemm", x, net.constant(second), channels=out, transB=1)
    return net.proto({"x": ["batch", first.shape[1]]}, {x: ["batch", out]}), net


def test_by_hand() -> None:
    """Unit 0 is read by nobody; unit 1 has no input, so relu(2) · 5 moves into the bias."""
    first = np.array([[1, 2], [0, 0], [3, 0]], np.float32)
    second = np.array([[0, 5, 7]], np.float32)
    proto, _ = mlp(first, second)
    smaller, removal = shrink(proto)
    assert [(s.before, s.after) for s in removal.layers] == [((3, 2), (1, 2)), ((1, 3), (1, 1))]
    arrays = [onnx.numpy_helper.to_array(t) for t in smaller.graph.initializer]
    assert sorted(a.tolist() for a in arrays if a.ndim == 1) == [[3.0], [10.0]]
    same(proto, smaller, (4, 2))


def test_a_product_that_is_an_output_takes_its_bias_too() -> None:
    """sigmoid(0) of the dead unit, times 4, is added to what leaves the network."""
    net = Network(np.random.default_rng(0))
    first = net.constant(np.array([[1, 2], [0, 0]], np.float32))
    x = net.node("Gemm", "x", first, channels=2, transB=1)
    x = net.node("Sigmoid", x, channels=2)
    x = net.node("MatMul", x, net.constant(np.array([[3], [4]], np.float32)), channels=1)
    y = net.node("Neg", x, channels=1)
    proto = net.proto({"x": ["batch", 2]}, {x: ["batch", 1], y: ["batch", 1]})
    smaller, removal = shrink(proto)
    assert [(s.before, s.after) for s in removal.layers] == [((2, 2), (1, 2)), ((1, 2), (1, 1))]
    assert [end.name for end in smaller.graph.output] == [x, y]
    arrays = [onnx.numpy_helper.to_array(t).tolist() for t in smaller.graph.initializer]
    assert [2.0] in arrays
    same(proto, smaller, (4, 2))


def test_a_depthwise_layer_that_keeps_one_channel(tmp_path: Path) -> None:
    """It becomes an ordinary convolution, which can be grouped: its note has its new shape."""
    net = Network(np.random.default_rng(0))
    net.channels["x"] = 2
    first = np.zeros((4, 2, 1, 1), np.float32)
    first[2] = 1
    x = net.node("Conv", "x", net.constant(first), channels=4, kernel_shape=[1, 1])
    depthwise = net.constant(np.arange(36, dtype=np.float32).reshape(4, 1, 3, 3) % 2)
    x = net.node("Conv", x, depthwise, channels=4, group=4, kernel_shape=[3, 3])
    last = net.constant(np.ones((2, 4, 1, 1), np.float32))
    x = net.node("Conv", x, last, channels=2, kernel_shape=[1, 1])
    proto = net.proto({"x": ["batch", 2, 5, 5]}, {x: ["batch", 2, 3, 3]})
    smaller, removal = shrink(proto)
    assert {s.weight: s.after for s in removal.layers}[depthwise] == (1, 1)
    same(proto, smaller, (2, 2, 5, 5))
    onnx.save(proto, tmp_path / "dense.onnx")
    model, out = open_onnx(tmp_path / "dense.onnx"), tmp_path / "out.onnx"
    masks = {layer.name: np.asarray(model.layer(layer.name) != 0) for layer in model.signature}
    reports = {r.name: r.units for r in emit(model, out, masks)}
    assert reports[depthwise] == (1, 1)
    verify(out, model, masks)
    read = {each.layer.name: each.layer.shape for each in inspect(out)}
    assert read[depthwise] == (1, 1, 3, 3)


def depthwise_between(rows: int, live: int) -> onnx.ModelProto:
    """A 1×1 convolution to `rows` channels of which `live` are read, through a depthwise one."""
    net = Network(np.random.default_rng(0))
    net.channels["x"] = 2
    first = np.ones((rows, 2, 1, 1), np.float32)
    x = net.node("Conv", "x", net.constant(first), channels=rows, kernel_shape=[1, 1])
    kernel = net.constant(np.arange(rows * 9, dtype=np.float32).reshape(rows, 1, 3, 3) % 7)
    x = net.node("Conv", x, kernel, channels=rows, group=rows, kernel_shape=[3, 3])
    last = np.ones((2, rows, 1, 1), np.float32)
    last[:, : rows - live] = 0
    x = net.node("Conv", x, net.constant(last), channels=2, kernel_shape=[1, 1])
    return net.proto({"x": ["batch", 2, 5, 5]}, {x: ["batch", 2, 3, 3]})


@pytest.mark.parametrize(
    ("rows", "live", "left"), [(64, 33, 48), (64, 32, 32), (64, 49, None), (60, 33, 33)]
)
def test_a_depthwise_layer_keeps_its_lanes_full(rows: int, live: int, left: int | None) -> None:
    """onnxruntime has no fast kernel for 33 channels: dead ones stay up to the next 16."""
    proto = depthwise_between(rows, live)
    smaller, removal = shrink(proto)
    assert [s.after for s in removal.layers] == ([(left, 2), (left, 1), (2, left)] if left else [])
    same(proto, smaller, (2, 2, 5, 5))


def test_removal_cascades() -> None:
    """Once a unit leaves, what only it has read leaves too."""
    net = Network(np.random.default_rng(0))
    chain = [np.eye(4, dtype=np.float32) for _ in range(4)]
    chain[-1][:, 2] = 0
    x = "x"
    for weight in chain:
        x = net.node("Gemm", x, net.constant(weight.copy()), channels=4, transB=1)
    proto = net.proto({"x": ["batch", 4]}, {x: ["batch", 4]})
    smaller, removal = shrink(proto)
    assert [s.after for s in removal.layers] == [(3, 4), (3, 3), (3, 3), (4, 3)]
    same(proto, smaller, (3, 4))


def test_a_padded_convolution_does_not_absorb_a_constant() -> None:
    """At its edge it reads zeros, so the constant unit has to stay."""
    net = Network(np.random.default_rng(0))
    net.channels["x"] = 1
    empty = np.zeros((2, 1, 1, 1), np.float32)
    empty[0] = 1
    bias = net.constant(np.array([0, 3], np.float32))
    x = net.node("Conv", "x", net.constant(empty), bias, channels=2, kernel_shape=[1, 1])
    weight = net.constant(np.ones((1, 2, 3, 3), np.float32))
    x = net.node("Conv", x, weight, channels=1, kernel_shape=[3, 3], pads=[1] * 4)
    proto = net.proto({"x": ["batch", 1, 5, 5]}, {x: ["batch", 1, 5, 5]})
    smaller, removal = shrink(proto)
    assert removal.layers == []
    same(proto, smaller, (1, 1, 5, 5))


def padded(first: list[float], second: np.ndarray) -> onnx.ModelProto:
    """Units that are these constants (NaN: none) in front of a padded 3 × 3 convolution."""
    net = Network(np.random.default_rng(0))
    net.channels["x"] = 1
    live = np.isnan(first).astype(np.float32).reshape(-1, 1, 1, 1)
    bias = net.constant(np.nan_to_num(first).astype(np.float32))
    x = net.node("Conv", "x", net.constant(live), bias, channels=len(first), kernel_shape=[1, 1])
    out = second.shape[0]
    more = {"kernel_shape": [3, 3], "pads": [1] * 4}
    x = net.node("Conv", x, net.constant(second), channels=out, **more)
    return net.proto({"x": ["batch", 1, 5, 5]}, {x: ["batch", out, 5, 5]})


def test_one_constant_stands_for_all_in_front_of_a_padded_convolution() -> None:
    """Units 0 and 3 are multiples of unit 1, which is the largest; unit 2 lives, unit 4 is zero."""
    second = np.random.default_rng(0).standard_normal((3, 5, 3, 3)).astype(np.float32)
    proto = padded([1.0, -3.0, np.nan, 2.0, 0.0], second)
    smaller, removal = shrink(proto)
    assert [(s.before, s.after) for s in removal.layers] == [((5, 1), (2, 1)), ((3, 5), (3, 2))]
    arrays = map(onnx.numpy_helper.to_array, smaller.graph.initializer)
    (weight,) = (array for array in arrays if array.shape[2:] == (3, 3))
    expected = second[:, 1].astype(np.float64) - second[:, 0] / 3 - second[:, 3] * 2 / 3
    np.testing.assert_allclose(weight[:, 0], expected, rtol=1e-5)
    np.testing.assert_array_equal(weight[:, 1], second[:, 2])
    same(proto, smaller, (2, 1, 5, 5))


def test_a_constant_that_nobody_reads_stands_for_nothing() -> None:
    second = np.ones((2, 3, 3, 3), np.float32)
    second[:, 1] = 0
    proto = padded([1.0, 9.0, 2.0], second)
    smaller, removal = shrink(proto)
    assert removal.layers[0].after == (1, 1)
    same(proto, smaller, (2, 1, 5, 5))


def test_a_network_that_has_lost_its_input_is_noticed() -> None:
    proto, _ = mlp(np.zeros((3, 2), np.float32), np.ones((2, 3), np.float32))
    smaller, removal = shrink(proto)
    assert removal.constant_layers == ["c1", "c2"]
    same(proto, smaller, (4, 2))


def test_a_second_run_finds_nothing() -> None:
    """Save where a grouped convolution was left with one channel a group: then it is depthwise."""
    looked = 0
    for seed in range(40):
        once, _ = shrink(image_network(seed))
        groups = [a.i for node in once.graph.node for a in node.attribute if a.name == "group"]
        if all(group == 1 for group in groups):
            looked += 1
            assert shrink(once)[1].layers == []
    assert looked > 15
