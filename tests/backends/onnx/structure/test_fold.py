"""Layers that stay dense read what groups before them give, in whatever order it comes."""

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
from onnx_ir.passes.common import ShapeInferencePass

sys.path.insert(0, str(Path(__file__).parent))

from grouped_networks import image_network, sequence_network
from random_networks import Network, run

from lottoc.backends.onnx.structure.grouped import lower_groups


def lower(proto: onnx.ModelProto, masked: set[str], grouped: set[str]) -> onnx.ModelProto:
    """`masked` weights hold zeros; of these `grouped` are worth it, by number of rows."""
    model = ShapeInferencePass()(ir.from_proto(proto)).model
    shapes = {
        model.graph.initializers[name].shape.numpy()  # type: ignore[union-attr]
        for name in grouped
    }
    either = shapes | {(b, a) for a, b in (s for s in shapes if len(s) == 2)}
    lower_groups(model, masked, lambda site, grouping: site.shape in either)
    result = ir.to_proto(model)
    onnx.checker.check_model(result, full_check=True)
    return result


def same(proto: onnx.ModelProto, other: onnx.ModelProto, *shapes: tuple[int, ...]) -> None:
    for seed, shape in enumerate(shapes):
        x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        for a, b in zip(run(proto, x), run(other, x), strict=True):
            largest = np.abs(a[np.isfinite(a)]).max(initial=1.0)
            np.testing.assert_allclose(b, a, atol=2e-5 * largest, rtol=1e-4)


def some_weights(proto: onnx.ModelProto, seed: int) -> set[str]:
    rng = np.random.default_rng(seed)
    names = [t.name for t in proto.graph.initializer if len(t.dims) > 1 and t.dims[1] > 1]
    return {name for name in names if rng.random() < 0.5}


@given(st.integers(0, 100_000))
@settings(max_examples=60, deadline=None)
def test_random_image_networks_of_which_some_layers_are_pruned(seed: int) -> None:
    proto = image_network(seed)
    names = some_weights(proto, seed)
    same(proto, lower(proto, names, names), (1, 6, 8, 8), (3, 6, 8, 8))


@given(st.integers(0, 100_000))
@settings(max_examples=60, deadline=None)
def test_random_sequence_networks_of_which_some_layers_are_pruned(seed: int) -> None:
    proto = sequence_network(seed)
    names = some_weights(proto, seed)
    same(proto, lower(proto, names, names), (1, 5, 8), (3, 1, 8), (7, 6, 8))


def mixed(net: Network, rows: int, columns: int, kernel: tuple[int, ...] = ()) -> str:
    """Four groups, their rows in no order."""
    mask = np.zeros((rows, columns), np.bool_)
    for part in net.rng.permutation(rows).reshape(4, -1):
        mask[part[:, None], net.rng.choice(columns, columns // 4, replace=False)] = True
    weight = net.rng.standard_normal((rows, columns, *kernel)).astype(np.float32)
    return net.constant(weight * mask.reshape(rows, columns, *(1,) * len(kernel)))


READERS = {
    "gemm": ("Gemm", (5, 32), {"transB": 1}, (2, 24)),
    "gemm the other way": ("Gemm", (32, 5), {}, (2, 24)),
    "matmul": ("MatMul", (32, 5), {}, (2, 24)),
    "matmul of sequences": ("MatMul", (32, 5), {}, (2, 3, 24)),
    "convolution": ("Conv", (5, 32, 3, 3), {"pads": [1] * 4}, (2, 24, 6, 6)),
}


def network(
    kind: str, readers: int = 1, shared: bool = False
) -> tuple[onnx.ModelProto, str, list[str]]:
    """A grouped layer, Relu, and dense layers that read it; the names of their weights."""
    net = Network(np.random.default_rng(3))
    op, dims, attributes, shape = READERS[kind]
    if op == "Conv":
        weight = mixed(net, 32, 24, (1, 1))
        x = net.node("Conv", "x", weight, net.bias(32), channels=32)
    else:
        weight = mixed(net, 32, 24)
        numbers = onnx.numpy_helper.to_array(net.tensors[-1])
        weight = net.constant(numbers.T)
        x = net.node("MatMul", "x", weight, channels=32)
    x = net.node("Relu", x, channels=32)
    names, outputs = [], {}
    for _ in range(readers):
        if not names or not shared:
            names.append(net.constant(net.rng.standard_normal(dims).astype(np.float32)))
        y = net.node(op, x, names[-1], channels=5, **attributes)
        size = ["batch", 5, *shape[2:]] if op == "Conv" else ["batch", *shape[1:-1], 5]
        outputs[y] = size
    return net.proto({"x": ["batch", *shape[1:]]}, outputs), weight, names


def gathers(proto: onnx.ModelProto) -> int:
    return Counter(node.op_type for node in proto.graph.node)["Gather"]


@pytest.mark.parametrize("kind", READERS)
def test_nothing_is_put_in_order_for_a_dense_reader(kind: str) -> None:
    """One Gather, of what the groups read; the dense weight has as many numbers as before."""
    proto, weight, _ = network(kind, readers=2)
    result = lower(proto, {weight}, {weight})
    assert gathers(result) == 1
    same(proto, result, READERS[kind][3])
    sizes = sorted(np.prod(t.dims) for t in result.graph.initializer)
    dense = int(np.prod(READERS[kind][1]))
    assert sizes.count(dense) == 2


@pytest.mark.parametrize("kind", READERS)
def test_a_dense_reader_that_is_pruned_keeps_its_columns(kind: str) -> None:
    """It is stored by its mask, whose columns a report and `inspect` name by their places."""
    proto, weight, (reader,) = network(kind)
    result = lower(proto, {weight, reader}, {weight})
    assert gathers(result) == 2
    same(proto, result, READERS[kind][3])
    kept = {t.name: onnx.numpy_helper.to_array(t) for t in result.graph.initializer}
    was = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    np.testing.assert_array_equal(kept[reader], was[reader])


def test_a_weight_that_two_layers_read_keeps_its_columns() -> None:
    proto, weight, (reader,) = network("gemm", readers=2, shared=True)
    result = lower(proto, {weight}, {weight})
    assert gathers(result) == 2
    assert [t.name for t in result.graph.initializer].count(reader) == 1
    same(proto, result, (2, 24))


def test_a_value_that_others_read_too_is_still_put_in_order_for_them() -> None:
    net = Network(np.random.default_rng(3))
    x = net.node("Gemm", "x", mixed(net, 32, 24), net.bias(32), channels=32, transB=1)
    x = net.node("Relu", x, channels=32)
    last = net.constant(net.rng.standard_normal((5, 32)).astype(np.float32))
    y = net.node("Gemm", x, last, channels=5, transB=1)
    proto = net.proto({"x": ["batch", 24]}, {x: ["batch", 32], y: ["batch", 5]})
    result = lower(proto, {"c0"}, {"c0"})
    assert [o.name for o in result.graph.output] == [x, y]
    same(proto, result, (1, 24), (4, 24))


def test_layers_that_sum_over_places_get_channels_in_order() -> None:
    """There are as many places as channels, so no shape tells one from the other."""
    net = Network(np.random.default_rng(3))
    x = net.node("Conv", "x", mixed(net, 32, 24, (1, 1)), net.bias(32), channels=32)
    wide = net.constant(net.rng.standard_normal((32, 5)).astype(np.float32))
    y = net.node("MatMul", net.node("Relu", x, channels=32), wide, channels=5)
    image = net.proto({"x": ["batch", 24, 6, 32]}, {y: ["batch", 32, 6, 5]})
    same(image, lower(image, {"c0"}, {"c0"}), (2, 24, 6, 32))

    net = Network(np.random.default_rng(3))
    mixed(net, 32, 24)
    turned = net.constant(onnx.numpy_helper.to_array(net.tensors[-1]).T)
    x = net.node("Relu", net.node("MatMul", "x", turned, channels=32), channels=32)
    filters = net.constant(net.rng.standard_normal((5, 32, 1)).astype(np.float32))
    y = net.node("Conv", x, filters, channels=5)
    sequence = net.proto({"x": ["batch", 32, 24]}, {y: ["batch", 5, 32]})
    same(sequence, lower(sequence, {turned}, {turned}), (2, 32, 24))
