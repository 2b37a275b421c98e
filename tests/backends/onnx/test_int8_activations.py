"""Grouped layers in int8: files by brute force, in onnxruntime and by the standard."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "structure"))

from grouped_networks import image_network, sequence_network
from int8_networks import (
    activations,
    by_the_standard,
    chain,
    grouped,
    optimized,
    seen,
    session,
    written,
)

from lottoc.backends.onnx import emit, inspect, verify
from lottoc.backends.onnx.alone import check_alone
from lottoc.backends.onnx.quantized import scale_of
from lottoc.backends.onnx.structure.cost import Rule, Site, Workload
from lottoc.backends.onnx.structure.grouping import Grouping
from lottoc.backends.onnx.trial import Setting, make_inputs
from lottoc.frontends.onnx_model import OnnxModel, open_onnx

Array = NDArray[Any]

pytestmark = pytest.mark.usefixtures("measured_in_process")


def by_hand(model: OnnxModel, masks: dict[str, Array], x: Array, batches: list[Any]) -> Array:
    """The chain in whole numbers and Python's own arithmetic, from the weights of the source.

    Ranges are found by numpy in float64, which the float32 ones come close to.
    """
    proto = onnx.load(model.path)
    stored = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in proto.graph.initializer}
    weights = [stored[f"fc{i}.weight"] * masks.get(f"fc{i}", True) for i in range(3)]
    biases = [stored[f"fc{i}.bias"] for i in range(3)]
    values = np.concatenate([batch["x"] for batch in batches]).astype(np.float64)
    ranges = [(min(values.min(), 0), max(values.max(), 0))]
    for weight, bias in zip(weights[:2], biases[:2], strict=True):
        values = np.maximum(values @ weight.T + bias, 0)
        ranges.append((0, values.max()))
    steps = [(high - low) / 255 for low, high in ranges]
    zeros = [round(-low / step) for (low, _), step in zip(ranges, steps, strict=True)]
    small = np.clip(np.rint(x.astype(np.float64) / steps[0]) + zeros[0], 0, 255).astype(int)
    for index in (0, 1):
        row_steps = np.abs(weights[index]).max(axis=1) / 127
        whole = np.rint(weights[index] / row_steps[:, None]).astype(int)
        made = np.zeros((len(small), len(whole)), int)
        for at, row in product(range(len(small)), range(len(whole))):
            unit = steps[index] * row_steps[row]
            total = sum(
                int(w) * (int(q) - zeros[index]) for w, q in zip(whole[row], small[at], strict=True)
            ) + round(biases[index][row] / unit)
            exact = max(total * unit, 0.0)
            made[at, row] = min(255, round(exact / steps[index + 1]) + zeros[index + 1])
        small = made
    wide = steps[2] * (small - zeros[2])
    return np.asarray(wide @ weights[2].T + biases[2])


@pytest.mark.parametrize("batch", ["n", 1])
def test_a_chain_is_what_whole_numbers_say(batch: int | str, tmp_path: Path) -> None:
    count = 1 if batch == 1 else 6
    batches = seen(batch=count)
    known = {"activations": activations(batches)}
    model, masks, path = written(tmp_path, chain(batch=batch), **known)
    onnx.checker.check_model(str(path), full_check=True)
    x = seen(1, count)[0]["x"]
    wanted = by_hand(model, masks, x, batches)
    given = session(path).run(None, {"x": x})[0]
    reference = by_the_standard(path, {"x": x})[0]
    # a byte on the border between two may be the other one
    tolerance = 0.02 * np.abs(wanted).max()
    np.testing.assert_allclose(given, wanted, atol=tolerance)
    np.testing.assert_allclose(reference, wanted, atol=tolerance)
    most = np.abs(given - wanted).mean()
    assert most < 0.003 * np.abs(wanted).max()
    exact = session(model.path).run(None, {"x": x})[0]
    assert np.abs(given - exact).max() > tolerance  # masks and bytes have changed something
    report = verify(path, model, masks, format="groups", **known)
    assert (report.layers, report.integer_layers) == (2, 2)
    assert report.max_error < 1e-5
    assert 0 < report.changed < 0.03


def test_a_layer_is_off_by_no_more_than_is_said(tmp_path: Path) -> None:
    """The bound of specs/language.md, of a layer alone, for inputs as wide as those seen."""
    proto = chain()
    del proto.graph.node[1:]
    rows = helper.make_tensor_value_info("h0", TensorProto.FLOAT, ["n", 32])
    proto.graph.output[0].CopyFrom(rows)
    onnx.save(proto, tmp_path / "dense.onnx")
    model, path = open_onnx(tmp_path / "dense.onnx"), tmp_path / "out.onnx"
    masks = grouped(model, ("fc0",))
    batches = seen()
    emit(model, path, masks, format="groups", values="int8", activations=activations(batches))
    weight = np.where(masks["fc0"], model.layer("fc0"), 0).astype(np.float64)
    steps = np.abs(weight).max(axis=1, keepdims=True) / 127
    weight = np.rint(weight / steps) * steps
    stored = {t.name: numpy_helper.to_array(t).astype(float) for t in proto.graph.initializer}
    x = np.concatenate([batch["x"] for batch in batches])
    exact = x.astype(np.float64) @ weight.T + stored["fc0.bias"]
    given = session(path).run(None, {"x": x})[0]
    read = scale_of(x.min(), x.max())
    gives = scale_of(exact.min(), exact.max())
    bound = read.scale / 2 * (np.abs(weight).sum(axis=1) + steps[:, 0]) + gives.scale / 2
    # both ends may be cut off by another half step, as a zero is a byte exactly
    ends = read.scale / 2 * np.abs(weight).max(axis=1) + gives.scale / 2
    assert (np.abs(given - exact) <= bound * 1.01).mean() > 0.99
    assert (np.abs(given - exact) <= (bound + ends) * 1.01).all()
    assert np.abs(given - exact).max() > 0.1 * bound.max()  # and the bound is not idle


def test_layers_that_meet_stay_bytes_and_run_as_one_operator(tmp_path: Path) -> None:
    _, _, path = written(tmp_path, chain(), activations=activations())
    ops = [node.op_type for node in onnx.load(path).graph.node]
    assert ops.count("QuantizeLinear") == 3  # the input, and what each layer gives
    made = optimized(path, tmp_path)
    assert made.count("QLinearConv") == 2
    assert made.count("QuantizeLinear") == made.count("DequantizeLinear") == 1
    assert not {"Conv", "FusedConv", "Relu"} & set(made)


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        _, _, path = written(tmp_path / name, chain("Sigmoid"), activations=activations())
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]


def test_the_file_tells(tmp_path: Path) -> None:
    model, _, path = written(tmp_path, chain(), activations=activations())
    first, second, last = inspect(path)
    assert (first.format, first.values, first.activations) == ("groups", "int8", "int8")
    assert (second.activations, last.activations) == ("int8", "")
    assert first.rounding > 0
    sound = check_alone(path)
    assert (sound.layers, sound.integer_layers, sound.runs) == (2, 2, 2)
    _, _, plain = written(tmp_path, chain())
    assert check_alone(plain).integer_layers == 0
    assert model.path.exists()


def test_what_never_fires_is_zero(tmp_path: Path) -> None:
    proto = chain()
    for tensor in proto.graph.initializer:
        if tensor.name == "fc0.bias":
            dead = np.full(32, -100, np.float32)
            tensor.CopyFrom(numpy_helper.from_array(dead, tensor.name))
    known = {"activations": activations()}
    model, masks, path = written(tmp_path, proto, **known)
    x = seen(1)[0]
    given, exact = (session(p).run(None, x)[0] for p in (path, model.path))
    assert np.isfinite(given).all()
    np.testing.assert_allclose(given, exact, atol=0.01 * np.abs(exact).max())
    assert verify(path, model, masks, format="groups", **known).changed < 0.01


def test_a_clip_is_cut_off_by_its_byte(tmp_path: Path) -> None:
    proto = chain("Clip")
    for node in proto.graph.node:
        if node.op_type == "Clip":
            node.input.extend(["low", "high"])
    for name, end in {"low": -0.25, "high": 0.75}.items():
        tensor = numpy_helper.from_array(np.array(end, np.float32), name)
        proto.graph.initializer.append(tensor)
    known = {"activations": activations()}
    model, masks, path = written(tmp_path, proto, **known)
    report = verify(path, model, masks, format="groups", **known)
    assert (report.integer_layers, report.not_run) == (2, "")
    made = optimized(path, tmp_path)
    assert made.count("QLinearConv") == 2
    assert "Conv" not in made


def test_bodies_read_what_bytes_give_back(tmp_path: Path) -> None:
    """What stands in an If is no place to put numbers elsewhere as bytes."""
    proto = chain()
    branches = {}
    for name in ("then_branch", "else_branch"):
        turned, back = f"{name}.t", f"{name}.o"
        nodes = [
            helper.make_node("Transpose", ["r0"], [turned], perm=[1, 0]),
            helper.make_node("Transpose", [turned], [back], perm=[1, 0]),
        ]
        end = helper.make_tensor_value_info(back, TensorProto.FLOAT, ["n", 32])
        branches[name] = helper.make_graph(nodes, name, [], [end])
    nodes = list(proto.graph.node)
    for node in nodes[2:]:
        node.input[:] = ["chosen" if name == "r0" else name for name in node.input]
    chosen = helper.make_node("If", ["yes"], ["chosen"], **branches)
    del proto.graph.node[:]
    proto.graph.node.extend([*nodes[:2], chosen, *nodes[2:]])
    proto.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    known = {"activations": activations()}
    model, masks, path = written(tmp_path, proto, **known)
    report = verify(path, model, masks, format="groups", **known)
    assert (report.integer_layers, report.not_run) == (2, "")
    assert 0 < report.changed < 0.03


# -- random networks: residuals, gates, attention, convolutions of every kind


class Always(Workload):
    """Groups wherever they can be, other layers as they are."""

    def rule(self, format: str) -> Rule | None:
        return super().rule("groups")


@pytest.mark.parametrize("make", [image_network, sequence_network])
@pytest.mark.parametrize("seed", [*range(8), 29, 38])
def test_random_networks(make: Callable[[int], onnx.ModelProto], seed: int, tmp_path: Path) -> None:
    onnx.save(make(seed), tmp_path / "dense.onnx")
    model, path = open_onnx(tmp_path / "dense.onnx"), tmp_path / "out.onnx"
    masks = {layer.name: model.layer(layer.name) != 0 for layer in model.signature}
    taken = session(model.path).get_inputs()
    batches = [make_inputs(taken, Setting(2, 8, seed=k)) for k in range(3)]
    known: Any = {"activations": activations(batches), "workload": Always()}
    reports = emit(model, path, masks, values="int8", **known)
    report = verify(path, model, masks, **known)
    count = sum(layer.activations == "int8" for layer in reports)
    assert report.integer_layers == count > 0
    assert not report.not_run
    made = optimized(path, tmp_path)
    assert made.count("QLinearConv") >= count
    for feed in batches[:1]:
        given = session(path).run(None, feed)
        wanted = by_the_standard(path, feed)
        for one, other in zip(given, wanted, strict=True):
            error = np.linalg.norm(one - other) / max(np.linalg.norm(other), 1e-6)
            assert error < 0.05


@dataclass(frozen=True)
class Eager(Rule):
    """Groups every layer for the sake of speed."""

    def __call__(self, site: Site, grouping: Grouping) -> bool:
        return grouping.work < 1


class Choosing(Workload):
    """Chooses, as `auto` does, but takes every layer."""

    def rule(self, format: str) -> Rule | None:
        known = super().rule(format)
        return None if known is None else Eager(known.target)


def test_auto_leaves_convolutions_in_floats(tmp_path: Path) -> None:
    onnx.save(image_network(3), tmp_path / "dense.onnx")
    model, path = open_onnx(tmp_path / "dense.onnx"), tmp_path / "out.onnx"
    masks = {layer.name: model.layer(layer.name) != 0 for layer in model.signature}
    taken = session(model.path).get_inputs()
    batches = [make_inputs(taken, Setting(2, 8, seed=k)) for k in range(3)]
    known: Any = {"activations": activations(batches), "workload": Choosing()}
    reports = emit(model, path, masks, values="int8", **known)
    kinds = {layer.name: layer.kind for layer in model.signature}
    found = {kinds[report.name]: report for report in reports if report.format == "groups"}
    assert {kind: report.activations for kind, report in found.items()} == {
        "conv": "",
        "linear": "int8",
    }
    assert "gain nothing" in found["conv"].floats
    assert found["linear"].floats == ""
    count = sum(report.activations == "int8" for report in reports)
    assert verify(path, model, masks, **known).integer_layers == count
