"""Twins of values: exact on random networks, and turned or put in order no more than needed."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes.common import ShapeInferencePass

sys.path.insert(0, str(Path(__file__).parent))

from grouped_networks import convolution, grouped, image_network, linear, sequence_network
from random_networks import Network, run

from lottoc.backends.onnx.structure.grouped import Lowered, lower_groups


def lower(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, Lowered]:
    model = ShapeInferencePass()(ir.from_proto(proto)).model
    names = [t.name for t in proto.graph.initializer if len(t.dims) > 1 and t.dims[1] > 1]
    lowered = lower_groups(model, names, lambda shape, grouping: True)
    result = ir.to_proto(model)
    onnx.checker.check_model(result, full_check=True)
    return result, lowered


def same(proto: onnx.ModelProto, other: onnx.ModelProto, *shapes: tuple[int, ...]) -> None:
    assert [o.name for o in proto.graph.output] == [o.name for o in other.graph.output]
    for seed, shape in enumerate(shapes):
        x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        for a, b in zip(run(proto, x), run(other, x), strict=True):
            assert a.shape == b.shape
            largest = np.abs(a[np.isfinite(a)]).max(initial=1.0)
            np.testing.assert_allclose(b, a, atol=2e-5 * largest, rtol=1e-4)


def ops(proto: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in proto.graph.node)


@given(st.integers(0, 100_000))
@settings(max_examples=120, deadline=None)
def test_random_image_networks(seed: int) -> None:
    proto = image_network(seed)
    result, lowered = lower(proto)
    assert lowered.layers
    same(proto, result, (1, 6, 8, 8), (3, 6, 8, 8))


@given(st.integers(0, 100_000))
@settings(max_examples=120, deadline=None)
def test_random_sequence_networks(seed: int) -> None:
    proto = sequence_network(seed)
    result, lowered = lower(proto)
    assert lowered.layers
    same(proto, result, (1, 5, 8), (3, 1, 8), (7, 6, 8))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("network", "shape"), [(image_network, (2, 6, 8, 8)), (sequence_network, (2, 4, 8))]
)
def test_the_reference_evaluator_agrees(network: object, shape: tuple, seed: int) -> None:
    proto = network(seed)  # type: ignore[operator]
    result, _ = lower(proto)
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    wanted = ReferenceEvaluator(proto).run(None, {"x": x})
    for a, b in zip(wanted, ReferenceEvaluator(result).run(None, {"x": x}), strict=True):
        np.testing.assert_allclose(b, a, atol=1e-4, rtol=1e-3)


def even(net: Network, rows: int, columns: int, groups: int, kernel: tuple[int, ...] = ()) -> str:
    """A weight whose groups are of one size, its rows mixed."""
    mask = np.zeros((rows, columns), np.bool_)
    for part in np.split(net.rng.permutation(rows), groups):
        mask[part[:, None], net.rng.choice(columns, columns // groups, replace=False)] = True
    weight = net.rng.standard_normal((rows, columns, *kernel)).astype(np.float32)
    return net.constant(weight * mask.reshape(rows, columns, *(1,) * len(kernel)))


def test_a_chain_is_turned_at_its_ends_and_ordered_once() -> None:
    """Six gathers would be needed if each layer put its rows in order again."""
    net = Network(np.random.default_rng(0))
    x = "x"
    for rows, columns in ((32, 24), (48, 32), (16, 48)):
        weight = even(net, rows, columns, 4)
        x = net.node("Gemm", x, weight, net.bias(rows), channels=rows, transB=1)
        x = net.node("Relu", x, channels=rows)
    proto = net.proto({"x": ["batch", 24]}, {x: ["batch", 16]})
    result, _ = lower(proto)
    found = ops(result)
    assert (found["Transpose"], found["Conv"], found["Gather"]) == (2, 3, 4)
    assert found["Add"] == found["Reshape"] == 0
    same(proto, result, (1, 24), (7, 24))


def test_an_inverted_residual_is_never_put_in_order_inside() -> None:
    """Expand, depthwise, norm, project: the order of the expanded channels is never seen."""
    net = Network(np.random.default_rng(1))
    net.channels["x"] = 16
    x = net.node("Conv", "x", even(net, 64, 16, 4, (1, 1)), net.bias(64), channels=64)
    x = net.node("Relu", net.norm(x), channels=64)
    x = net.conv(x, 64, kernel=3, groups=64, pad=1)
    x = net.scale(net.node("HardSwish", x, channels=64))
    x = net.node("Conv", x, even(net, 16, 64, 4, (1, 1)), channels=16)
    x = net.node("Add", x, "x", channels=16)
    proto = net.proto({"x": ["batch", 16, 6, 6]}, {x: ["batch", 16, 6, 6]})
    result, _ = lower(proto)
    assert ops(result)["Gather"] == 3
    assert ops(result)["Transpose"] == 0
    same(proto, result, (2, 16, 6, 6))


def test_attention_turns_nothing_that_it_need_not() -> None:
    """Queries and values are turned next to their product; keys are there as they are read."""
    net = Network(np.random.default_rng(2))
    shape = net.constant(np.array([0, -1, 2, 8]))
    parts = []
    for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
        x = net.node("MatMul", "x", net.constant(grouped(net, 16, 16).T), channels=16)
        x = net.node("Reshape", x, shape, channels=16)
        parts.append(net.node("Transpose", x, channels=16, perm=perm))
    scores = net.node("MatMul", parts[0], parts[1], channels=16)
    y = net.node("MatMul", net.node("Softmax", scores, channels=16), parts[2], channels=16)
    y = net.node("Transpose", y, channels=16, perm=[0, 2, 1, 3])
    y = net.node("Reshape", y, net.constant(np.array([0, -1, 16])), channels=16)
    y = net.node("MatMul", y, net.constant(grouped(net, 16, 16).T), channels=16)
    proto = net.proto({"x": ["batch", "places", 16]}, {y: ["batch", "places", 16]})
    result, _ = lower(proto)
    perms = [tuple(n.attribute[0].ints) for n in result.graph.node if n.op_type == "Transpose"]
    # x is turned once for all three, then queries, values, what they give, and the output
    assert perms == [(0, 2, 1), (0, 1, 3, 2), (0, 1, 3, 2), (0, 1, 3, 2), (0, 2, 1)]
    same(proto, result, (2, 5, 16))


def test_opposite_transposes_cancel() -> None:
    """A convolution over places between linear layers works on the same twins."""
    net = Network(np.random.default_rng(3))
    x = net.node("MatMul", "x", even(net, 8, 8, 2), channels=8)
    x = net.node("Transpose", x, channels=8, perm=[0, 2, 1])
    x = net.node("Conv", x, even(net, 12, 8, 2, (3,)), channels=12, pads=[1, 1])
    x = net.node("Transpose", x, channels=12, perm=[0, 2, 1])
    x = net.node("MatMul", x, net.constant(grouped(net, 8, 12).T), channels=8)
    proto = net.proto({"x": ["batch", "places", 8]}, {x: ["batch", "places", 8]})
    result, lowered = lower(proto)
    assert len(lowered.layers) >= 2
    assert ops(result)["Transpose"] == 2
    same(proto, result, (2, 5, 8), (1, 1, 8))


def test_depthwise_channels_come_in_blocks() -> None:
    """3 groups of 11 rows are 33 channels; the depthwise convolution gets 48."""
    net = Network(np.random.default_rng(4))
    x = net.node("Conv", "x", even(net, 33, 9, 3, (1, 1)), channels=33)
    x = net.conv(x, 33, kernel=3, groups=33, pad=1)
    proto = net.proto({"x": ["batch", 9, 5, 5]}, {x: ["batch", 33, 5, 5]})
    result, _ = lower(proto)
    groups = [a.i for n in result.graph.node for a in n.attribute if a.name == "group"]
    assert groups == [3, 48]
    same(proto, result, (2, 9, 5, 5))


def test_a_weight_that_nothing_is_left_of() -> None:
    net = Network(np.random.default_rng(5))
    x = net.node("Gemm", "x", net.constant(np.zeros((4, 3), np.float32)), net.bias(4), channels=4,
                 transB=1)  # fmt: skip
    proto = net.proto({"x": ["batch", 3]}, {x: ["batch", 4]})
    result, lowered = lower(proto)
    assert len(lowered.layers) == 1
    same(proto, result, (1, 3), (3, 3))


@pytest.mark.parametrize("shape", [(), (1,), (8,), (1, 8)])
def test_biases_of_gemm(shape: tuple[int, ...]) -> None:
    net = Network(np.random.default_rng(6))
    bias = net.constant(net.rng.standard_normal(shape).astype(np.float32))
    x = net.node("Gemm", "x", net.constant(grouped(net, 8, 6).T), bias, channels=8)
    proto = net.proto({"x": ["batch", 6]}, {x: ["batch", 8]})
    result, lowered = lower(proto)
    assert len(lowered.layers) == 1
    same(proto, result, (2, 6))


def one_layer(op: str, inputs: list[str], **attributes: object) -> onnx.ModelProto:
    net = Network(np.random.default_rng(7))
    weight, bias = grouped(net, 4, 4), np.ones((4, 1), np.float32)
    net.tensors += [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")]
    y = net.node(op, *inputs, channels=4, **attributes)
    return net.proto({"x": [4, 4]}, {y: [4, 4]})


@pytest.mark.parametrize(
    ("proto", "reason"),
    [
        (one_layer("Gemm", ["x", "w"], alpha=2.0), "scales its product"),
        (one_layer("Gemm", ["x", "w"], transA=1), "transposes its input"),
        (one_layer("Gemm", ["x", "w", "b"]), "not one constant a row"),
        (one_layer("MatMul", ["w", "x"]), "also read by MatMul"),
        (one_layer("Mul", ["x", "w"]), "also read by Mul"),
    ],
)
def test_layers_that_are_refused(proto: onnx.ModelProto, reason: str) -> None:
    result, lowered = lower(proto)
    assert not lowered.layers
    assert reason in lowered.refused["w"]
    same(proto, result, (4, 4))


def test_a_weight_that_is_read_twice_is_stored_once() -> None:
    net = Network(np.random.default_rng(8))
    weight = even(net, 8, 8, 2)
    x = net.node("Gemm", "x", weight, channels=8, transB=1)
    x = net.node("Gemm", net.node("Relu", x, channels=8), weight, channels=8, transB=1)
    proto = net.proto({"x": ["batch", 8]}, {x: ["batch", 8]})
    result, lowered = lower(proto)
    assert list(lowered.layers) == [weight]
    assert [len(t.dims) for t in result.graph.initializer].count(3) == 1
    same(proto, result, (3, 8))


def test_a_weight_that_is_read_both_ways_round_is_refused() -> None:
    net = Network(np.random.default_rng(9))
    weight = even(net, 8, 8, 2)
    x = net.node("Gemm", "x", weight, channels=8, transB=1)
    x = net.node("Gemm", x, weight, channels=8)
    _, lowered = lower(net.proto({"x": ["batch", 8]}, {x: ["batch", 8]}))
    assert lowered.refused == {weight: "its weight is read in two ways"}


@pytest.mark.parametrize("flag", [True, False])
def test_subgraphs_read_values_as_they_were(flag: bool) -> None:
    net = Network(np.random.default_rng(10))
    y = net.node("Gemm", "x", even(net, 8, 6, 2), channels=8, transB=1)
    info = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    branches = [
        helper.make_graph([helper.make_node(op, [y], ["z"])], op, [], [info])
        for op in ("Relu", "Neg")
    ]
    chosen = net.constant(np.array(flag))
    out = net.node("If", chosen, channels=8, then_branch=branches[0], else_branch=branches[1])
    proto = net.proto({"x": ["batch", 6]}, {out: ["batch", 8]})
    result, lowered = lower(proto)
    assert lowered.layers
    same(proto, result, (3, 6))


def test_an_output_may_be_read_on() -> None:
    """Two outputs, one of them an inner value, both out of order."""
    net = Network(np.random.default_rng(11))
    net.channels["x"] = 6
    y = net.node("Relu", convolution(net, "x", 12), channels=12)
    z = net.node("Identity", y, channels=12)
    proto = net.proto({"x": ["batch", 6, 3, 3]}, {n: ["batch", 12, 3, 3] for n in (y, z)})
    result, _ = lower(proto)
    same(proto, result, (2, 6, 3, 3))


def test_half_precision_models() -> None:
    net = Network(np.random.default_rng(12))
    x = "x"
    for rows, columns in ((16, 8), (8, 16)):
        weight = net.constant(grouped(net, rows, columns).T.astype(np.float16))
        x = net.node("MatMul", x, weight, channels=rows)
    proto = net.proto({"x": ["batch", 8]}, {x: ["batch", 8]})
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    result, lowered = lower(proto)
    assert len(lowered.layers) == 2
    values = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float16)
    (a,), (b,) = run(proto, values), run(result, values)
    assert b.dtype == np.float16
    np.testing.assert_allclose(b, a, atol=0.01)


def test_double_precision_is_refused() -> None:
    net = Network(np.random.default_rng(13))
    weight = net.constant(grouped(net, 4, 4).astype(np.float64))
    proto = net.proto({"x": [1, 4]}, {net.node("MatMul", "x", weight, channels=4): [1, 4]})
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    _, lowered = lower(proto)
    assert lowered.refused == {weight: "onnxruntime has no convolution of float64"}


def test_a_residual_stream_stays_turned() -> None:
    """Both sides of the second sum are there turned; only norms read rows."""
    net = Network(np.random.default_rng(14))
    net.channels["x"], x = 8, "x"
    for _ in range(2):
        y = linear(net, net.node("Relu", linear(net, x, 16), channels=16), 8)
        x = net.node("Add", y, x, channels=8)
    proto = net.proto({"x": ["batch", "places", 8]}, {x: ["batch", "places", 8]})
    result, _ = lower(proto)
    assert ops(result)["Transpose"] == 2
    same(proto, result, (2, 5, 8))
