"""Grouped layers in int8: their arithmetic by brute force, files in two runtimes, refusals."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

sys.path.insert(0, str(Path(__file__).parent / "structure"))

from grouped_networks import image_network, sequence_network

from lottoc.backends.onnx import emit, inspect, integers, verify
from lottoc.backends.onnx.activations import Activations
from lottoc.backends.onnx.alone import check_alone
from lottoc.backends.onnx.integers import convolve, find_wrong
from lottoc.backends.onnx.quantized import LEVELS, Scale, bias_numbers, scale_of
from lottoc.backends.onnx.run import do
from lottoc.backends.onnx.structure.cost import Rule, Site, Workload
from lottoc.backends.onnx.structure.grouping import Grouping
from lottoc.backends.onnx.trial import Setting, make_inputs
from lottoc.diagnostics import InputError, LottoError
from lottoc.frontends.onnx_model import OnnxModel, open_onnx

Array = NDArray[Any]


@pytest.fixture(autouse=True)
def _in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run jobs here: the child processes have tests of their own."""
    for name in ("verify", "alone"):
        module = importlib.import_module(f"lottoc.backends.onnx.{name}")
        monkeypatch.setattr(module, "run_apart", do)
    for name in ("verify", "alone", "activations"):
        module = importlib.import_module(f"lottoc.backends.onnx.{name}")
        monkeypatch.setattr(module, "call_apart", lambda function, *given: function(*given))


# -- what bytes mean


numbers = st.floats(-1e6, 1e6, width=32) | st.sampled_from([1e30, -1e30, 1e-30])


@given(numbers, numbers)
@settings(max_examples=300, deadline=None)
def test_zero_is_a_byte_and_what_was_seen_is_off_by_half_a_step(a: float, b: float) -> None:
    low, high = min(a, b, 0.0), max(a, b, 0.0)
    scale = scale_of(a, b) if a <= b else scale_of(b, a)
    assert 0 <= scale.zero <= LEVELS
    assert scale.scale > 0
    seen = np.linspace(low, high, 301)
    q = np.clip(np.rint(seen / scale.scale) + scale.zero, 0, LEVELS)
    off = np.abs(scale.scale * (q - scale.zero) - seen)
    # the zero is rounded too, so that an end may be cut off by half a step more
    assert off.max() <= scale.scale * (1 + 1e-5)
    inside = (seen >= -scale.zero * scale.scale) & (seen <= (LEVELS - scale.zero) * scale.scale)
    assert off[inside].max(initial=0) <= scale.scale * (0.5 + 1e-5)


def test_what_never_fired_has_a_step() -> None:
    assert scale_of(0.0, 0.0) == Scale(1.0, 0)
    assert scale_of(0.0, 1e-44) == Scale(1.0, 0)
    assert scale_of(2.0, 5.0) == scale_of(0.0, 5.0)
    assert scale_of(-5.0, -2.0).zero == LEVELS


def test_a_bias_is_in_steps_of_its_row() -> None:
    rows = np.array([0.5, 0.25, 1.0], np.float32)
    steps, units = bias_numbers(np.array([1.0, -1.0, 0.3], np.float32), Scale(0.5, 3), rows)
    assert units.tolist() == [0.25, 0.125, 0.5]
    assert steps.tolist() == [4, -8, 1]


# -- the reference that files are checked with, itself checked


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Array, Array, dict[str, Any]]:
    rank, groups = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    columns, rows = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    attributes: dict[str, Any] = {"group": groups}
    attributes["strides"] = [draw(st.integers(1, 3)) for _ in range(rank)]
    attributes["dilations"] = [draw(st.integers(1, 2)) for _ in range(rank)]
    attributes["pads"] = [draw(st.integers(0, 2)) for _ in range(2 * rank)]
    sizes = [draw(st.integers(5, 8)) for _ in range(rank)]
    x = rng.integers(-128, 128, (2, groups * columns, *sizes)).astype(np.float32)
    w = rng.integers(-127, 128, (groups * rows, columns, *kernel)).astype(np.float32)
    return x, w, attributes


@given(convolutions())
@settings(max_examples=80, deadline=None)
def test_the_reference_is_the_convolution_of_the_standard(
    case: tuple[Array, Array, dict[str, Any]],
) -> None:
    x, w, attributes = case
    node = helper.make_node("Conv", ["x", "w"], ["y"], **attributes)
    wanted = ReferenceEvaluator(_model([node], {"x": x.shape, "w": w.shape}, "y")).run(
        None, {"x": x, "w": w}
    )[0]
    np.testing.assert_array_equal(convolve(x.astype(np.float64), w, attributes), wanted)


def _model(
    nodes: list[onnx.NodeProto], inputs: dict[str, tuple[Any, ...]], output: str
) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()]
    end = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", ends, [end])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


# -- networks


def chain(activation: str = "Relu", batch: int | str = "n", opset: int = 18) -> onnx.ModelProto:
    """Two layers that can be grouped, one that stays, all with a bias."""
    rng, nodes, tensors, x = np.random.default_rng(0), [], [], "x"
    for index, (rows, columns) in enumerate(((32, 24), (16, 32), (5, 16))):
        weight = rng.standard_normal((rows, columns)) / columns**0.5
        names = [f"fc{index}.weight", f"fc{index}.bias"]
        tensors.append(numpy_helper.from_array(weight.astype(np.float32), names[0]))
        bias = 0.5 * rng.standard_normal(rows)
        tensors.append(numpy_helper.from_array(bias.astype(np.float32), names[1]))
        nodes.append(helper.make_node("Gemm", [x, *names], [f"h{index}"], transB=1))
        x = f"h{index}"
        if index < 2:
            nodes.append(helper.make_node(activation, [x], [f"r{index}"]))
            x = f"r{index}"
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 24]),
        helper.make_tensor_value_info(x, TensorProto.FLOAT, [batch, 5]),
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], tensors)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def grouped(model: OnnxModel, names: tuple[str, ...] = ("fc0", "fc1")) -> dict[str, Array]:
    """Two groups of rows in turn, each with a third of the columns."""
    rng, found = np.random.default_rng(1), {}
    for name in names:
        rows, columns = model.weights[name].layer.shape
        mask = np.zeros((rows, columns), np.bool_)
        for part in (np.arange(0, rows, 2), np.arange(1, rows, 2)):
            mask[np.ix_(part, rng.choice(columns, columns // 3, replace=False))] = True
        found[name] = mask
    return found


def seen(count: int = 4, batch: int = 6, scale: float = 1.0) -> list[dict[str, Array]]:
    rng = np.random.default_rng(2)
    return [
        {"x": (scale * rng.standard_normal((batch, 24))).astype(np.float32)} for _ in range(count)
    ]


def activations(batches: list[dict[str, Array]] | None = None) -> Activations:
    return Activations(lambda model: seen() if batches is None else batches)


def written(folder: Path, proto: onnx.ModelProto, **known: Any) -> tuple[OnnxModel, Any, Path]:
    onnx.save(proto, folder / "dense.onnx")
    model, path = open_onnx(folder / "dense.onnx"), folder / "out.onnx"
    masks = grouped(model)
    emit(model, path, masks, format="groups", values="int8", **known)
    return model, masks, path


def session(path: Path, folder: Path | None = None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if folder is not None:
        options.optimized_model_filepath = str(folder / "optimized.onnx")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def optimized(path: Path, folder: Path) -> list[str]:
    """The operators that onnxruntime makes of a file."""
    session(path, folder)
    return [node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node]


def by_the_standard(path: Path, feed: dict[str, Array]) -> list[Array]:
    """The outputs of the ONNX project's own evaluator, which has DequantizeLinear from 19 on."""
    proto = onnx.load(path)
    proto.opset_import[0].version = max(19, proto.opset_import[0].version)
    return list(ReferenceEvaluator(proto).run(None, feed))


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


# -- faults are found


def test_wrong_bytes_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, masks, path = written(tmp_path, chain(), activations=activations())
    np.savez(tmp_path / "inputs-0.npz", **seen(1)[0])
    names, inputs = ["fc0.weight.groups", "fc1.weight.groups"], [tmp_path / "inputs-0.npz"]
    assert find_wrong(path, names, inputs) is None
    with pytest.raises(ValueError, match=r"fc2\.weight"):
        find_wrong(path, [*names, "fc2.weight"], inputs)
    exact = integers.convolve

    def saturating(values: Array, weight: Array, attributes: Any) -> Array:
        """Sums that are cut off at 16 bits, as by processors without 8-bit products."""
        return np.clip(exact(values, weight, attributes), -(1 << 12), 1 << 12)

    monkeypatch.setattr(integers, "convolve", saturating)
    wrong = find_wrong(path, names, inputs)
    assert wrong is not None
    assert wrong.layer in names
    assert wrong.most > 1
    for act in (
        lambda: verify(path, model, masks, format="groups", activations=activations()),
        lambda: check_alone(path),
    ):
        with pytest.raises(LottoError, match="are off"):
            act()


def changed(path: Path, name: str, change: Callable[[Array], Array]) -> None:
    proto = onnx.load(path)
    (tensor,) = [t for t in proto.graph.initializer if t.name == name]
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), name))
    onnx.save(proto, path)


@pytest.mark.parametrize(
    "name", ["fc0.weight.groups.narrow", "fc0.weight.groups.scale", "lottoc.scale", "lottoc.zero"]
)
def test_a_changed_constant_is_found(name: str, tmp_path: Path) -> None:
    known = {"activations": activations()}
    model, masks, path = written(tmp_path, chain(), **known)
    changed(path, name, lambda array: (array + array.dtype.type(1)).astype(array.dtype))
    with pytest.raises(LottoError) as raised:
        verify(path, model, masks, format="groups", **known)
    assert raised.value.diagnostics[0].code == "verify-failed"


# -- refusals


def refusals() -> Iterator[tuple[str, str, Callable[[Path], object]]]:
    bad = seen()
    bad[2]["x"][3, 5] = np.nan
    yield (
        "activations-not-finite",
        "NaN or infinite",
        lambda folder: written(folder, chain(), activations=activations(bad)),
    )
    yield (
        "data-empty",
        "no example",
        lambda folder: written(folder, chain(), activations=activations([])),
    )
    yield (
        "onnx-run",
        "cannot run",
        lambda folder: written(
            folder, chain(), activations=activations([{"x": np.zeros((2, 7), np.float32)}])
        ),
    )

    def nothing_grouped(folder: Path) -> object:
        onnx.save(chain(), folder / "dense.onnx")
        model = open_onnx(folder / "dense.onnx")
        masks = {"fc0": np.random.default_rng(0).random((32, 24)) < 0.5}
        known: Any = {"format": "auto", "values": "int8", "activations": activations()}
        return emit(model, folder / "out.onnx", masks, **known)

    yield "onnx-format", "no layer can multiply in int8", nothing_grouped
    yield (
        "onnx-format",
        "needs opset 13",
        lambda folder: written(folder, chain(opset=12), activations=activations()),
    )

    def huge_bias(folder: Path) -> object:
        proto = chain()
        for tensor in proto.graph.initializer:
            if tensor.name.endswith("bias"):
                big = numpy_helper.to_array(tensor) * np.float32(1e9)
                tensor.CopyFrom(numpy_helper.from_array(big, tensor.name))
        onnx.save(proto, folder / "dense.onnx")
        model = open_onnx(folder / "dense.onnx")
        masks = grouped(model, ("fc0",))
        known: Any = {"format": "groups", "values": "int8", "activations": activations()}
        return emit(model, folder / "out.onnx", masks, **known)

    yield "onnx-format", "do not fit into 32 bits", huge_bias


@pytest.mark.parametrize(("code", "message", "act"), list(refusals()))
def test_refusals(code: str, message: str, act: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as raised:
        act(tmp_path)
    assert raised.value.diagnostics[0].code == code


def test_a_layer_that_cannot_be_in_int8_stays_in_floats(tmp_path: Path) -> None:
    proto = chain()
    for tensor in proto.graph.initializer:
        if tensor.name == "fc1.bias":
            big = numpy_helper.to_array(tensor) * np.float32(1e9)
            tensor.CopyFrom(numpy_helper.from_array(big, tensor.name))
    known = {"activations": activations()}
    model, masks, path = written(tmp_path, proto, **known)
    assert [layer.activations for layer in inspect(path)] == ["int8", "", ""]
    first, second = emit(model, path, masks, format="groups", values="int8", **known)
    assert (first.floats, second.floats) == ("", "its sums do not fit into 32 bits")
    assert verify(path, model, masks, format="groups", **known).integer_layers == 1


def test_what_leaves_nothing_of_an_output_is_refused(tmp_path: Path) -> None:
    # one outlier among the examples: all others are rounded to the same byte
    batches = seen()
    batches[3]["x"][0, :] = 1e6
    known = {"activations": activations(batches)}
    model, masks, path = written(tmp_path, chain(), **known)
    known["activations"].batches = lambda model: seen()
    with pytest.raises(InputError, match="int8 activations change output") as raised:
        verify(path, model, masks, format="groups", **known)
    assert raised.value.diagnostics[0].code == "activations-lossy"
