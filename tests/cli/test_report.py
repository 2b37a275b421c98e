"""`lottoc report`, `batch` and `target` in a recipe, and what `lottoc bench` reads of a report."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner, Result

from lottoc.backends.onnx.target import KIND, SHIPPED, read_target, write_target
from lottoc.cli import app

RECIPE = """
model net { source = onnx("net.onnx") }
ticket few {
  layers   = linear
  sparsity = 90%
  pattern  = groups(256)
}
emit onnx "few.onnx" { ticket = few   batch = [1, 8]   target = "mine.toml" }
"""


def lottoc(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A layer large enough to be worth grouping, and a target of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    weight = np.random.default_rng(0).standard_normal((1024, 1024)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "fc.weight"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1024])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1024])],
        [numpy_helper.from_array(weight, "fc.weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, "net.onnx")
    shutil.copy(SHIPPED / f"{KIND}.toml", "mine.toml")
    Path("r.lotto").write_text(RECIPE)
    return tmp_path


def test_what_was_chosen_is_shown_with_what_was_predicted(project: Path) -> None:
    compiled = lottoc("compile", "r.lotto", "-o", "out", "--depfile", "r.d")
    assert compiled.exit_code == 0, compiled.output
    assert "mine.toml" in Path("r.d").read_text()
    shown = lottoc("report", "out")
    assert shown.exit_code == 0, shown.output
    (line,) = [line for line in shown.stdout.splitlines() if "1024×1024" in line]
    assert "groups" in line
    assert "batch 1: " in line
    assert "batch 8: " in line
    plain = json.loads(lottoc("report", "out", "--format", "json").stdout)
    (layer,) = plain["artefacts"][0]["layers"]
    assert {(p["batch"], p["threads"]) for p in layer["predicted"]} == {
        (1, 1),
        (1, 2),
        (8, 1),
        (8, 2),
    }
    timed = lottoc(
        *("bench", "out/few.onnx", "--against", "net.onnx", "--batch", "8,3", "--samples", "1"),
        *("--format", "json"),
    )
    known, unknown = json.loads(timed.stdout)["timings"]
    assert known["predicted_speedup"] is None or known["predicted_speedup"] > 1
    assert unknown["predicted_speedup"] is None


def test_a_target_on_which_groups_are_slow_leaves_the_layer_as_it_was(project: Path) -> None:
    target = read_target(project / "mine.toml")
    slow = [
        replace(each, groups=replace(each.groups, microseconds=each.groups.microseconds * 1000))
        for each in target.costs
    ]
    Path("mine.toml").write_text(write_target(replace(target, costs=tuple(slow))))
    read_target.cache_clear()
    assert lottoc("compile", "r.lotto", "-o", "out").exit_code == 0
    (layer,) = json.loads(Path("out/report.json").read_text())["artefacts"][0]["layers"]
    assert layer["format"] == "packed"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('"mine.toml"', '"none.toml"', "target-not-found"),
        ('"mine.toml"', '"net.onnx.toml"', "target-invalid"),
        ('"mine.toml"', '"onnxruntime-gpu"', "unknown-name"),
        ("[1, 8]", "[1, 0]", "out-of-range"),
        ("[1, 8]", "[]", "wrong-type"),
        ("[1, 8]", '"one"', "wrong-type"),
        ("[1, 8]", "fixed(0)", "out-of-range"),
        ("[1, 8]", "fixed(65537)", "out-of-range"),
        ("[1, 8]", "fixed(1, 8)", "wrong-type"),
        ("[1, 8]", "fixed(size = 1)", "wrong-type"),
        ("[1, 8]", "fixed(1)", "batch-fixed"),
    ],
)
def test_wrong_targets_and_batches_are_errors_of_the_recipe(
    project: Path, old: str, new: str, code: str
) -> None:
    Path("net.onnx.toml").write_text("target = 3")
    Path("r.lotto").write_text(RECIPE.replace(old, new))
    result = lottoc("check", "r.lotto")
    assert result.exit_code == 2
    assert f"error[{code}]" in result.stderr


@pytest.mark.parametrize("text", ["", "{}", '{"artefacts": [{}]}', '{"artefacts": 3}'])
def test_what_is_no_report_is_refused(project: Path, text: str) -> None:
    assert lottoc("report", "nowhere").exit_code == 3
    Path("report.json").write_text(text)
    result = lottoc("report", ".")
    assert result.exit_code == 3
    assert "error[report-invalid]" in result.stderr
