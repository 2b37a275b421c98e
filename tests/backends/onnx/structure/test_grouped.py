"""Layers whose rows share channels become dense work on those channels; outputs stay the same."""

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
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes.common import ShapeInferencePass

sys.path.insert(0, str(Path(__file__).parent))

from grouped_networks import sequence_network
from random_networks import Network, run

from lottoc.backends.onnx import emit, verify
from lottoc.backends.onnx.structure.grouped import lower_groups
from lottoc.backends.onnx.structure.grouping import find_groups
from lottoc.frontends.onnx_model import open_onnx

Mask = NDArray[np.bool_]


@pytest.mark.parametrize("seed", [29, 32, 38])
def test_padding_never_hides_the_channel_that_it_reads(seed: int, tmp_path: Path) -> None:
    """Groups of different sizes: padding reads channel 0 once more where it is read already."""
    onnx.save(sequence_network(seed), tmp_path / "dense.onnx")
    model, path = open_onnx(tmp_path / "dense.onnx"), tmp_path / "out.onnx"
    masks = {layer.name: model.layer(layer.name) != 0 for layer in model.signature}
    found = {name: find_groups(mask) for name, mask in masks.items()}
    masks = {name: masks[name] for name, g in found.items() if g is not None and g.work < 1}
    emit(model, path, masks, format="groups")
    assert verify(path, model, masks, format="groups").max_error < 1e-5


def group_mask(
    rng: np.random.Generator, rows: int, columns: int, groups: int, kept: int, *, mixed: bool = True
) -> Mask:
    """Groups of rows that share their columns, the rows in any order; sizes may differ by one."""
    mask = np.zeros((rows, columns), np.bool_)
    for part in np.array_split(np.arange(rows), groups):
        mask[part[:, None], rng.choice(columns, kept, replace=False)] = True
    return mask[rng.permutation(rows)] if mixed else mask


def grouped(net: Network, rows: int, columns: int, kernel: tuple[int, ...] = ()) -> NDArray:
    """A weight with groups, some of its rows empty."""
    rng = net.rng
    mask = group_mask(rng, rows, columns, int(rng.integers(1, 4)), max(1, columns // 3))
    mask[rng.random(rows) < 0.15] = False
    weight = rng.standard_normal((rows, columns, *kernel)).astype(np.float32)
    return weight * mask.reshape(rows, columns, *(1,) * len(kernel))


def lower(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    model = ShapeInferencePass()(ir.from_proto(proto)).model
    names = frozenset(tensor.name for tensor in proto.graph.initializer)
    done = lower_groups(model, names, lambda shape, grouping: True)
    result = ir.to_proto(model)
    onnx.checker.check_model(result, full_check=True)
    return result, len(done.layers)


def same(proto: onnx.ModelProto, other: onnx.ModelProto, *shapes: tuple[int, ...]) -> None:
    for seed, shape in enumerate(shapes):
        x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        for a, b in zip(run(proto, x), run(other, x), strict=True):
            np.testing.assert_allclose(b, a, atol=1e-5 * max(1.0, np.abs(a).max()))


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5), st.integers(0, 999))
@settings(max_examples=100, deadline=None)
def test_a_grouping_is_the_weight_again(rows: int, columns: int, groups: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = group_mask(rng, rows, columns, min(groups, rows), int(rng.integers(0, columns + 1)))
    weight = (rng.standard_normal((rows, columns, 2)) * mask[:, :, None]).astype(np.float32)
    found = find_groups(weight)
    per_group = found.rows.shape[1]
    rebuilt = np.zeros_like(weight)
    for place, row in zip(found.place, range(rows), strict=True):
        channels = found.gathered.reshape(found.groups, -1)[place // per_group]
        np.add.at(rebuilt[row], channels, found.weight(weight)[place])
    np.testing.assert_array_equal(rebuilt, weight)
    assert found.groups <= max(1, len(np.unique(mask[mask.any(axis=1)], axis=0)))


def mlp(seed: int, depth: int = 3, batch: int | str = "batch") -> onnx.ModelProto:
    net = Network(np.random.default_rng(seed))
    x, columns = "x", 24
    for layer, rows in enumerate([30, 16, 8][:depth]):
        weight = grouped(net, rows, columns)
        if layer % 2:
            x = net.node("MatMul", x, net.constant(weight.T), channels=rows)
            x = net.node("Add", net.bias(rows), x, channels=rows)
        else:
            bias = net.bias(rows)
            x = net.node("Gemm", x, net.constant(weight), bias, channels=rows, transB=1)
        x = net.node("Relu", x, channels=rows)
        columns = rows
    return net.proto({"x": [batch, 24]}, {x: [batch, columns]})


@pytest.mark.parametrize("batch", [1, 7, "batch"])
@pytest.mark.parametrize("seed", range(10))
def test_rows(seed: int, batch: int | str) -> None:
    proto = mlp(seed, batch=batch)
    result, layers = lower(proto)
    assert layers == 3
    sizes = (1, 7) if isinstance(batch, str) else (batch,)
    same(proto, result, *[(size, 24) for size in sizes])
    x = np.random.default_rng(0).standard_normal((sizes[-1], 24)).astype(np.float32)
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    (actual,) = ReferenceEvaluator(result).run(None, {"x": x})
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_a_chain_is_turned_twice_and_put_in_order_once() -> None:
    """Turned where it begins and where it ends; each layer gathers from wherever channels are."""
    result, _ = lower(mlp(0))
    ops = Counter(node.op_type for node in result.graph.node)
    assert ops["Transpose"] == 2
    assert ops["Conv"] == 3
    assert ops["Gather"] <= 4


def test_one_row_is_never_turned_and_its_activations_stay_beside_the_convolutions() -> None:
    """What can only be one row has its channels picked by GatherElements."""
    result, _ = lower(mlp(0, batch=1))
    ops = Counter(node.op_type for node in result.graph.node)
    assert ops["Transpose"] == ops["Gather"] == 0
    assert 1 <= ops["GatherElements"] <= 4
    assert ops["Shape"] == ops["Expand"] == 0
    producers = {node.output[0]: node.op_type for node in result.graph.node}
    relus = [node for node in result.graph.node if node.op_type == "Relu"]
    assert {producers[relu.input[0]] for relu in relus} <= {"Conv", "Add"}


def block(seed: int) -> onnx.ModelProto:
    """A transformer block: attention with two heads, residuals, layer norms, a gated MLP."""
    net = Network(np.random.default_rng(seed))
    c, heads = 16, 2

    def linear(x: str, columns: int, rows: int) -> str:
        weight = net.constant(grouped(net, rows, columns).T)
        x = net.node("MatMul", x, weight, channels=rows)
        return net.node("Add", x, net.bias(rows), channels=rows)

    def split(x: str) -> str:
        shape = net.constant(np.array([0, -1, heads, c // heads]))
        x = net.node("Reshape", x, shape, channels=c)
        return net.node("Transpose", x, channels=c, perm=[0, 2, 1, 3])

    def norm(x: str) -> str:
        return net.node("LayerNormalization", x, net.bias(c), net.bias(c), channels=c)

    q, k, v = (split(linear("x", c, c)) for _ in range(3))
    k = net.node("Transpose", k, channels=c, perm=[0, 1, 3, 2])
    scores = net.node("Softmax", net.node("MatMul", q, k, channels=c), channels=c, axis=-1)
    mixed = net.node("MatMul", scores, v, channels=c)
    mixed = net.node("Transpose", mixed, channels=c, perm=[0, 2, 1, 3])
    shape = net.constant(np.array([0, -1, c]))
    mixed = net.node("Reshape", mixed, shape, channels=c)
    x = norm(net.node("Add", "x", linear(mixed, c, c), channels=c))
    gate = net.node("Sigmoid", linear(x, c, 24), channels=24)
    half = net.constant(np.array(0.5, np.float32))
    up = net.node("Mul", linear(x, c, 24), half, channels=24)
    up = net.node("Mul", net.node("Relu", up, channels=24), gate, channels=24)
    x = norm(net.node("Add", linear(up, 24, c), x, channels=c))
    return net.proto({"x": ["batch", "places", c]}, {x: ["batch", "places", c]})


@pytest.mark.parametrize("seed", range(10))
def test_transformer_blocks(seed: int) -> None:
    proto = block(seed)
    result, layers = lower(proto)
    assert layers == 7
    same(proto, result, (1, 5, 16), (3, 9, 16), (2, 1, 16))


def convolutions(seed: int) -> onnx.ModelProto:
    """1×1, strided and padded 3×3 convolutions, a depthwise one, norm, residual, concat, head."""
    net = Network(np.random.default_rng(seed))
    net.channels["x"] = 6

    def conv(x: str, rows: int, kernel: int, stride: int = 1) -> str:
        weight = net.constant(grouped(net, rows, net.channels[x], (kernel, kernel)))
        pads = [kernel // 2] * 4
        return net.node(
            "Conv", x, weight, net.bias(rows), channels=rows, pads=pads, strides=[stride] * 2
        )

    x = net.activation(conv("x", 12, 3))
    x = net.norm(net.conv(conv(x, 16, 1), 16, kernel=3, groups=16, pad=1))
    y = net.scale(net.activation(conv(x, 16, 1)))
    x = net.node("Add", x, y, channels=16)
    x = net.node("Concat", conv(x, 8, 3, 2), conv(x, 4, 3, 2), channels=12, axis=1)
    x = net.node("GlobalAveragePool", x, channels=12)
    x = net.node("Flatten", x, channels=12)
    head = net.constant(grouped(net, 5, 12))
    x = net.node("Gemm", x, head, net.bias(5), channels=5, transB=1)
    return net.proto({"x": ["batch", 6, 10, 10]}, {x: ["batch", 5]})


@pytest.mark.parametrize("seed", range(10))
def test_convolutions(seed: int) -> None:
    proto = convolutions(seed)
    result, layers = lower(proto)
    assert layers >= 6
    same(proto, result, (1, 6, 10, 10), (3, 6, 10, 10))


def test_an_inner_value_that_is_an_output_too_keeps_its_name() -> None:
    net = Network(np.random.default_rng(0))
    y = net.node("Gemm", "x", net.constant(grouped(net, 8, 6)), channels=8, transB=1)
    z = net.node("Relu", y, channels=8)
    proto = net.proto({"x": ["batch", 6]}, {y: ["batch", 8], z: ["batch", 8]})
    result, _ = lower(proto)
    assert [o.name for o in result.graph.output] == [y, z]
    same(proto, result, (4, 6))


def model_with_groups(folder: Path, batch: int | str = "batch") -> tuple[Path, dict[str, Mask]]:
    net = Network(np.random.default_rng(3))
    x, columns = "x", 96
    masks = {}
    for number, rows in enumerate((128, 128, 64)):
        weight = net.rng.standard_normal((rows, columns)).astype(np.float32)
        tensor = onnx.numpy_helper.from_array(weight, f"fc{number}.weight")
        net.tensors.append(tensor)
        bias = net.bias(rows)
        x = net.node("Gemm", x, tensor.name, bias, channels=rows, transB=1)
        x = net.node("Relu", x, channels=rows)
        parts = zip(
            np.array_split(net.rng.permutation(rows), 8),
            np.array_split(net.rng.permutation(columns), 8),
            strict=True,
        )
        mask = masks[f"fc{number}"] = np.zeros((rows, columns), np.bool_)
        for group, read in parts:
            mask[group[:, None], read] = True  # every channel is read by one group
        columns = rows
    proto = net.proto({"x": [batch, 96]}, {x: [batch, 64]})
    (folder / "dense.onnx").write_bytes(proto.SerializeToString())
    return folder / "dense.onnx", masks


@pytest.mark.parametrize("batch", [1, "batch"])
@pytest.mark.parametrize(("format", "values"), [("groups", "same"), ("groups", "float16")])
def test_artefacts_are_written_so_and_verified(
    tmp_path: Path, format: str, values: str, batch: int | str
) -> None:
    path, masks = model_with_groups(tmp_path, batch)
    model = open_onnx(path)
    target = tmp_path / "m.onnx"
    reports = emit(model, target, masks, format=format, values=values)
    assert {report.format for report in reports} == {"groups"}
    assert [report.kept for report in reports] == [int(m.sum()) for m in masks.values()]
    tolerance = 1e-5 if values == "same" else 1e-2
    found = verify(target, model, masks, format=format, tolerance=tolerance)
    assert len(found.trials) == 2
    share = target.stat().st_size / path.stat().st_size
    assert share < (0.25 if values == "same" else 0.2)
    emit(model, tmp_path / "again.onnx", masks, format=format, values=values)
    assert (tmp_path / "again.onnx").read_bytes() == target.read_bytes()


def test_units_that_nobody_reads_leave_the_artefact(tmp_path: Path) -> None:
    path, _ = model_with_groups(tmp_path)
    model = open_onnx(path)
    masks = {layer.name: np.ones(layer.shape, np.bool_) for layer in model.signature}
    masks["fc1"][:, :100] = False
    reports = {r.name: r for r in emit(model, tmp_path / "m.onnx", masks)}
    assert reports["fc0"].units == (28, 96)
    assert reports["fc1"].units == (128, 28)
    assert verify(tmp_path / "m.onnx", model, masks).max_error < 1e-4


def test_a_damaged_artefact_is_noticed(tmp_path: Path) -> None:
    path, masks = model_with_groups(tmp_path)
    model = open_onnx(path)
    emit(model, tmp_path / "m.onnx", masks, format="groups")
    proto = onnx.load(tmp_path / "m.onnx")
    for tensor in proto.graph.initializer:
        if tensor.name == "fc1.weight.groups":
            numbers = onnx.numpy_helper.to_array(tensor).copy()
            numbers.reshape(-1)[7] += 1
            tensor.CopyFrom(onnx.numpy_helper.from_array(numbers, tensor.name))
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(Exception, match="verify-failed"):
        verify(tmp_path / "m.onnx", model, masks, format="groups")
