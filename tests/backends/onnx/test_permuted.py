"""Artefacts whose channels are in another order: N:M in one piece, proved, equal to the others."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

sys.path.insert(0, str(Path(__file__).parent / "structure"))

from random_networks import Network, image_network, run, token_network

from lottoc.backends.onnx import emit, inspect, verify
from lottoc.backends.onnx.structure.classes import layer_classes
from lottoc.diagnostics import InputError, LottoError
from lottoc.frontends.onnx_model import OnnxModel, open_onnx
from lottoc.masks.patterns import parse

Arrays = dict[str, np.ndarray]


def saved(proto: onnx.ModelProto, folder: Path) -> OnnxModel:
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    return open_onnx(folder / "model.onnx")


def permuted(
    model: OnnxModel, n: int, m: int, seed: int
) -> tuple[Arrays, dict[str, np.ndarray | None]]:
    """Masks and orders as a recipe would make them, but for orders that are random."""
    rng = np.random.default_rng(seed)
    classes = layer_classes(model)
    orders: dict[int, np.ndarray] = {}
    masks: Arrays = {}
    given: dict[str, np.ndarray | None] = {}
    for name, weight in model.weights.items():
        shape = weight.layer.shape
        if shape[1] % m:
            continue
        scores = rng.random(shape).astype(np.float32)
        kept = scores.size // m * n
        if name in classes:
            order = orders.setdefault(classes[name], rng.permutation(shape[1]))
            masks[name] = parse(f"permuted({n}, {m})").keep_in(order, scores, kept)
            given[name] = order
        else:
            masks[name] = parse(f"{n}:{m}").keep(scores, kept)
            given[name] = None
    return masks, given


def masked(model: OnnxModel, proto: onnx.ModelProto, masks: Arrays) -> onnx.ModelProto:
    """The dense model with mask * weight, made without lottoc's writer."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    stored = {weight.stored.name: name for name, weight in model.weights.items()}
    for tensor in copy.graph.initializer:
        name = stored.get(tensor.name, "")
        if name in masks:
            mask = masks[name].T if model.weights[name].transposed else masks[name]
            value = np.where(mask, numpy_helper.to_array(tensor), np.float32(0))
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return copy


@pytest.mark.parametrize("format", ["dense", "packed"])
@pytest.mark.parametrize("kind", ["image", "tokens"])
@pytest.mark.parametrize("seed", range(4))
def test_random_networks(kind: str, format: str, seed: int, tmp_path: Path) -> None:
    proto = image_network(seed) if kind == "image" else token_network(seed)
    for tensor in proto.graph.initializer:  # weights without zeros of their own
        value = numpy_helper.to_array(tensor)
        if value.ndim in (2, 4) and value.dtype == np.float32:
            rng = np.random.default_rng(value.size)
            value = np.where(value == 0, rng.random(value.shape) + 0.1, value).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    model = saved(proto, tmp_path)
    masks, orders = permuted(model, 1, 2, seed)
    if all(order is None for order in orders.values()):
        pytest.skip("nothing in this network can move")
    emit(model, tmp_path / "out.onnx", masks, format=format, orders=orders)
    report = verify(tmp_path / "out.onnx", model, masks, format=format, orders=orders)
    assert report.not_run == ""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, 3, 12, 12)).astype(np.float32)
    x = x if kind == "image" else rng.integers(0, 9, (2, 5))
    written = onnx.load(tmp_path / "out.onnx")
    for a, b in zip(run(masked(model, proto, masks), x), run(written, x), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1.0, np.abs(a).max()))
    if format == "dense":
        found = open_onnx(tmp_path / "out.onnx")
        for name in orders:
            assert parse("1:2").holds(np.ascontiguousarray(found.layer(name) != 0))


def three_layers(seed: int = 0) -> onnx.ModelProto:
    """fc0 [8, 4], fc1 [8, 8], fc2 [4, 8] with biases between them."""
    net = Network(np.random.default_rng(seed))
    x = "x"
    for out, width in ((8, 4), (8, 8), (4, 8)):
        weight = net.constant(net.rng.standard_normal((out, width)).astype(np.float32))
        x = net.node("Gemm", x, weight, net.bias(out), channels=out, transB=1)
        x = net.node("Relu", x, channels=out)
    return net.proto({"x": ["batch", 4]}, {x: ["batch", 4]})


def written(folder: Path) -> tuple[Path, OnnxModel, Arrays, dict[str, np.ndarray | None]]:
    model = saved(three_layers(), folder)
    masks, orders = permuted(model, 2, 4, 1)
    emit(model, folder / "out.onnx", masks, format="dense", orders=orders)
    return folder / "out.onnx", model, masks, orders


def test_two_of_four_is_seen_in_the_file_and_not_in_the_mask(tmp_path: Path) -> None:
    path, model, masks, orders = written(tmp_path)
    assert [parse("2:4").holds(masks[name]) for name in model.weights] == [True, False, False]
    assert [found.pattern for found in inspect(path)] == ["2:4", "2:4", "2:4"]
    assert [orders[name] is None for name in model.weights] == [True, False, False]


def test_the_report_says_which_layers_were_permuted_and_why_not(tmp_path: Path) -> None:
    model = saved(three_layers(), tmp_path)
    masks, orders = permuted(model, 2, 4, 1)
    third = list(model.weights)[2]
    orders[third] = np.arange(8)
    masks[third] = parse("2:4").keep(np.random.default_rng(0).random((4, 8)), 16)
    reports = emit(model, tmp_path / "out.onnx", masks, orders=orders)
    assert [report.order for report in reports] == [
        'kept: it reads "x", an input of the model',
        "permuted",
        "kept: no other is better",
    ]
    assert verify(tmp_path / "out.onnx", model, masks, orders=orders).layers == 3
    plain = emit(model, tmp_path / "plain.onnx", masks)
    assert [report.order for report in plain] == ["", "", ""]


def test_no_channel_that_an_nm_layer_reads_leaves(tmp_path: Path) -> None:
    """A unit that no weight reads would leave, and pull every later group apart."""
    model = saved(three_layers(), tmp_path)
    masks, orders = permuted(model, 2, 4, 1)
    second = list(model.weights)[1]
    order = orders[second]
    assert order is not None
    masks[second] = np.zeros((8, 8), np.bool_)
    masks[second][:, order[[0, 1, 4, 5]]] = True
    assert parse("permuted(2, 4)").holds(masks[second])
    emit(model, tmp_path / "out.onnx", masks, format="dense", orders=orders)
    verify(tmp_path / "out.onnx", model, masks, format="dense", orders=orders)
    assert [found.pattern for found in inspect(tmp_path / "out.onnx")] == ["2:4", "2:4", "2:4"]
    emit(model, tmp_path / "plain.onnx", masks, format="dense")
    shapes = [found.layer.shape for found in inspect(tmp_path / "plain.onnx")]
    assert shapes[1] == (8, 4)  # so much would have left


def change(path: Path, edit: object) -> None:
    proto = onnx.load(path)
    edit(proto)  # type: ignore[operator]
    path.write_bytes(proto.SerializeToString())


def test_damage_is_noticed(tmp_path: Path) -> None:
    path, model, masks, orders = written(tmp_path)
    good = path.read_bytes()
    verify(path, model, masks, format="dense", orders=orders)

    def one_weight(proto: onnx.ModelProto) -> None:
        tensor = next(t for t in proto.graph.initializer if t.dims == [8, 8])
        value = numpy_helper.to_array(tensor).copy()
        value[tuple(np.argwhere(value)[0])] *= 1.5
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))

    change(path, one_weight)
    with pytest.raises(LottoError, match="1 of 64 weights differ"):
        verify(path, model, masks, format="dense", orders=orders)

    def notes(proto: onnx.ModelProto) -> None:
        (note,) = [prop for prop in proto.metadata_props if prop.key == "lottoc"]
        assert "from_columns" in note.value
        note.value = note.value.replace("from_columns", "from_cells")

    path.write_bytes(good)
    change(path, notes)
    with pytest.raises(LottoError, match="are in another order"):
        verify(path, model, masks, format="dense", orders=orders)

    path.write_bytes(good)
    second = list(model.weights)[1]
    assert orders[second] is not None
    other = {**orders, second: np.roll(orders[second], 1)}
    with pytest.raises(LottoError):
        verify(path, model, masks, format="dense", orders=other)


def test_an_order_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    model = saved(three_layers(), tmp_path)
    masks, _ = permuted(model, 2, 4, 1)
    first = next(iter(model.weights))
    with pytest.raises(InputError) as raised:
        emit(model, tmp_path / "out.onnx", masks, orders={first: np.array([1, 0, 2, 3])})
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.code == "onnx-order"
    assert diagnostic.message == (
        f'the channels that "{first.removesuffix(".weight")}" reads cannot move: '
        'it reads "x", an input of the model'
    )
    proto = three_layers()
    del proto.opset_import[:]
    proto.opset_import.append(onnx.helper.make_opsetid("", 12))
    (tmp_path / "old").mkdir()
    old = saved(proto, tmp_path / "old")
    assert layer_classes(old) == {}
    second = list(old.weights)[1]
    with pytest.raises(InputError, match="needs opset 13, the model has 12"):
        emit(old, tmp_path / "out.onnx", masks, orders={second: np.array([1, 0, 2, 3, 4, 5, 6, 7])})


def test_groups_and_orders_exclude_each_other(tmp_path: Path) -> None:
    model = saved(three_layers(), tmp_path)
    masks, orders = permuted(model, 2, 4, 1)
    with pytest.raises(InputError, match="cannot be stored as groups"):
        emit(model, tmp_path / "out.onnx", masks, format="groups", orders=orders)
