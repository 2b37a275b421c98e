"""Every pattern from a recipe to verified ONNX: exact counts, nested rounds, smaller models."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner, Result

from lottoc.cli import app
from lottoc.masks.mask import Mask
from lottoc.masks.patterns import parse


def lottoc(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


KEPT = {
    # layers of 32 × 16 and 16 × 32; a fifth is kept of 1024, that is 205 weights
    ("rows", "layerwise"): [7 * 16, 4 * 32],
    ("rows", "uniform"): [7 * 16, 4 * 32],
    ("block(4, 2)", "layerwise"): [13 * 8, 13 * 8],
    ("block(4, 2)", "global"): None,
    ("rows", "global"): None,
    ("rows", "erk"): [7 * 16, 4 * 32],
    ("fanin", "layerwise"): [3 * 32, 6 * 16],
    ("fanin", "global"): [3 * 32, 6 * 16],
}


@pytest.mark.parametrize(("pattern", "scope"), KEPT)
def test_three_rounds_of_imp(
    project: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, scope: str
) -> None:
    made: list[np.ndarray] = []
    honest = Mask.from_bool

    def spy(mask: np.ndarray) -> Mask:
        made.append(mask)
        return honest(mask)

    monkeypatch.setattr(Mask, "from_bool", spy)
    recipe = (project / "trained.lotto").read_text()
    amount = f"sparsity = target   pattern = {pattern}   scope = {scope}"
    recipe = recipe.replace("dense.accuracy - 20%", "dense.accuracy - 100%")
    (project / "r.lotto").write_text(recipe.replace("sparsity = target", amount))
    result = lottoc("compile", "r.lotto", "-o", "out")
    assert result.exit_code == 0, result.output
    layers = report(project / "out")["tickets"]["winning"]["layers"]
    assert [x["pattern"] for x in layers] == [pattern] * 2
    kept = [x["kept"] for x in layers]
    expected = KEPT[pattern, scope]
    if expected is None:
        unit = max(32 if pattern == "rows" else 8, 8)
        assert 205 <= sum(kept) < 205 + unit
    else:
        assert kept == expected
    for shape in {mask.shape for mask in made}:
        *of_layer, _ = (mask for mask in made if mask.shape == shape)  # the last is shuffled
        assert len(of_layer) == 3
        for earlier, later in itertools.pairwise(of_layer):
            assert not (later & ~earlier).any()
            assert later.sum() < earlier.sum()
        assert all(parse(pattern).holds(mask) for mask in of_layer)
    ticket = report(project / "out")["tickets"]["winning"]
    assert ticket["metrics"]["sparsity"] == pytest.approx(1 - sum(kept) / 1024, abs=0)


def convolutions(path: Path) -> None:
    """Conv (3 → 8, padded), BatchNormalization, Relu, Conv (8 → 6, padded), Relu, pool, Gemm."""
    draw = np.random.default_rng(1)

    def tensor(name: str, *shape: int) -> onnx.TensorProto:
        values = np.abs(draw.normal(size=shape)) if name == "var" else draw.normal(size=shape)
        return numpy_helper.from_array(values.astype(np.float32), name)

    weights = [
        *(tensor("a.weight", 8, 3, 3, 3), tensor("b.weight", 6, 8, 3, 3)),
        *(tensor("c.weight", 5, 6), tensor("c.bias", 5), tensor("b.bias", 6)),
        *(tensor(name, 8) for name in ("scale", "shift", "mean", "var")),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "a.weight"], ["1"], pads=[1] * 4),
        helper.make_node("BatchNormalization", ["1", "scale", "shift", "mean", "var"], ["2"]),
        helper.make_node("Relu", ["2"], ["3"]),
        helper.make_node("Conv", ["3", "b.weight", "b.bias"], ["4"], pads=[1] * 4),
        helper.make_node("Relu", ["4"], ["5"]),
        helper.make_node("GlobalAveragePool", ["5"], ["6"]),
        helper.make_node("Flatten", ["6"], ["7"]),
        helper.make_node("Gemm", ["7", "c.weight", "c.bias"], ["y"], transB=1),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "net",
        [info("x", TensorProto.FLOAT, ["n", 3, 9, 9])],
        [info("y", TensorProto.FLOAT, ["n", 5])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)


def masked(source: Path, kept: dict[str, list[int]], output: Path) -> None:
    """The dense model with only these rows of its weights; biases as they are."""
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        if tensor.name in kept:
            array = numpy_helper.to_array(tensor).copy()
            array[[row for row in range(len(array)) if row not in kept[tensor.name]]] = 0
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, output)


def outputs(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    assert isinstance(y, np.ndarray)
    return y


def best_rows(source: Path, names: list[str], keep: dict[str, int]) -> dict[str, list[int]]:
    arrays = {t.name: numpy_helper.to_array(t) for t in onnx.load(source).graph.initializer}
    found = {}
    for name in names:
        sums = np.abs(arrays[name].astype(np.float64)).reshape(len(arrays[name]), -1).sum(axis=1)
        found[name] = sorted(np.argsort(-sums, kind="stable")[: keep[name]].tolist())
    return found


def test_rows_leave_the_graph(project: Path) -> None:
    """fc1 has no bias, so a pruned unit is zero; three quarters of the model's bytes are gone."""
    (project / "r.lotto").write_text(
        'model net { source = onnx("net-dense.onnx") }\n'
        'ticket t { layers = "fc1"   pattern = channels   sparsity = 75% }\n'
        'emit onnx "small.onnx" { ticket = t   format = auto }\n'
    )
    result = lottoc("compile", "r.lotto", "-o", "out")
    assert result.exit_code == 0, result.output
    small = project / "out" / "small.onnx"
    shapes = sorted(tuple(t.dims) for t in onnx.load(small).graph.initializer)
    assert shapes == [(4, 8), (8, 16)]
    kept = best_rows(project / "net-dense.onnx", ["fc1.weight"], {"fc1.weight": 8})
    masked(project / "net-dense.onnx", kept, project / "masked.onnx")
    x = np.random.default_rng(0).normal(size=(7, 16)).astype(np.float32)
    difference = outputs(small, x) - outputs(project / "masked.onnx", x)
    assert np.abs(difference).max() < 1e-5
    assert small.stat().st_size < 0.5 * (project / "net-dense.onnx").stat().st_size


def test_filters_leave_the_graph_with_their_normalization(project: Path) -> None:
    convolutions(project / "cnn.onnx")
    (project / "r.lotto").write_text(
        'model net { source = onnx("cnn.onnx") }\n'
        "ticket t { layers = conv   pattern = rows   scope = layerwise   sparsity = 50% }\n"
        'emit onnx "small.onnx" { ticket = t   format = auto }\n'
    )
    result = lottoc("compile", "r.lotto", "-o", "out")
    assert result.exit_code == 0, result.output
    small = project / "out" / "small.onnx"
    kept = best_rows(project / "cnn.onnx", ["a.weight", "b.weight"], {"a.weight": 4, "b.weight": 3})
    masked(project / "cnn.onnx", kept, project / "masked.onnx")
    x = np.random.default_rng(0).normal(size=(2, 3, 9, 9)).astype(np.float32)
    expected = outputs(project / "masked.onnx", x)
    assert np.abs(outputs(small, x) - expected).max() < 1e-5 * np.abs(expected).max()
    shapes = sorted(tuple(t.dims) for t in onnx.load(small).graph.initializer)
    assert {(5, 3, 3, 3), (3, 5, 3, 3), (5, 3)} <= set(shapes)  # 4 live ones and one constant
