"""`activations = int8` from a recipe to a file, with and without torch, and what is said of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner, Result

from lottoc.cli import app

RECIPE = """
model net { source = onnx("net.onnx") }
data seen { train = npz("data.npz", x = "x", y = "y")   calibration = npz("data.npz", x = "x") }
ticket t { layers = linear   pattern = groups(16)   density = 25%   scope = layerwise }
emit onnx "float.onnx" { ticket = t   format = groups }
emit onnx "small.onnx" {
  ticket      = t
  format      = groups
  values      = int8
  activations = int8(samples = 40)
}
"""


def lottoc(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two layers with a Relu between, and examples of which the first forty are small."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    tensors = [
        numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32) / 5, name)
        for name, shape in {"a.weight": (48, 32), "a.bias": (48,), "b.weight": (32, 48)}.items()
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "a.weight", "a.bias"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "b.weight"], ["y"], transB=1),
    ]
    info = helper.make_tensor_value_info
    ends = [info("x", TensorProto.FLOAT, ["n", 32]), info("y", TensorProto.FLOAT, ["n", 32])]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], tensors)
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), "net.onnx")
    x = rng.standard_normal((60, 32)).astype(np.float32)
    x[:40] = np.clip(x[:40], -1, 3)
    np.savez("data.npz", x=x, y=rng.integers(0, 32, 60))
    Path("r.lotto").write_text(RECIPE)
    return tmp_path


def run(path: Path, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


def test_from_a_recipe_to_what_commands_say(project: Path) -> None:
    done = lottoc("compile", "r.lotto", "-o", "out")
    assert done.exit_code == 0, done.output
    small, exact = project / "out" / "small.onnx", project / "out" / "float.onnx"
    x = np.load("data.npz")["x"][:40]
    error = np.linalg.norm(run(small, x) - run(exact, x)) / np.linalg.norm(run(exact, x))
    assert 0 < error < 0.02

    (artefact,) = [
        each
        for each in json.loads((project / "out" / "report.json").read_text())["artefacts"]
        if each["path"] == "small.onnx"
    ]
    assert [layer["activations"] for layer in artefact["layers"]] == ["int8", "int8"]
    assert artefact["verified"]["integer_layers"] == 2
    assert artefact["verified"]["changed"] == pytest.approx(error, rel=0.2)

    assert lottoc("report", "out").output.count("activations int8") == 2
    assert lottoc("inspect", small).output.count("activations int8") == 2
    assert "activations" not in lottoc("inspect", exact).output
    assert "2 in int8 computed again" in lottoc("verify", small).output
    timed = lottoc("bench", small, "--against", "net.onnx", "--samples", "1")
    assert timed.exit_code == 0, timed.output


def test_ranges_are_those_of_the_first_examples(project: Path) -> None:
    lottoc("compile", "r.lotto", "-o", "out", "-q")
    proto = onnx.load("out/small.onnx")
    first = next(node for node in proto.graph.node if node.op_type == "QuantizeLinear")
    stored = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    scale, zero = (stored[name] for name in first.input[1:])
    x = np.load("data.npz")["x"][:40]
    assert float(scale) == pytest.approx((x.max() - x.min()) / 255, rel=1e-6)
    assert int(zero) == round(-x.min() / float(scale))


def test_ir_gives_the_same_bytes(project: Path) -> None:
    assert lottoc("compile", "r.lotto", "-o", "out", "-q").exit_code == 0
    Path("r.mlir").write_text(lottoc("ir", "--stage", "recipe", "r.lotto").output)
    done = lottoc("compile", "r.mlir", "-o", "again", "-q")
    assert done.exit_code == 0, done.output
    assert Path("out/small.onnx").read_bytes() == Path("again/small.onnx").read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('values = "int8"', 'values = "same"', "need values int8"),
        ('split = "calibration"', 'split = "calibrate"', 'no split "calibrate"'),
        ("samples = 40 : i64", "samples = 0 : i64", "not at least 1"),
        ('activations = "int8"', 'activations = "int4"', 'unknown activations "int4"'),
    ],
)
def test_ir_that_asks_for_something_else(project: Path, old: str, new: str, said: str) -> None:
    text = lottoc("ir", "--stage", "recipe", "r.lotto").output
    assert old in text
    Path("r.mlir").write_text(text.replace(old, new))
    done = lottoc("compile", "r.mlir", "-o", "out")
    assert done.exit_code == 2
    assert said in done.output


def test_examples_that_do_not_fit(project: Path) -> None:
    np.savez("data.npz", x=np.zeros((50, 31), np.float32), y=np.zeros(50, np.int64))
    done = lottoc("compile", "r.lotto", "-o", "out")
    assert done.exit_code == 3
    assert "error[onnx-run]" in done.output
    assert "--> small.onnx\n" in done.output  # and no file that was there for a moment
    assert not (project / "out" / "small.onnx").exists()


def test_no_torch_is_needed_for_an_onnx_model(project: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from lottoc.cli import app\n"
        "app(['compile', 'r.lotto', '-o', 'out', '-q'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (project / "out" / "small.onnx").exists()


def test_a_torch_model_of_one_batch_size(project: Path) -> None:
    Path("net.py").write_text(
        "from torch import nn\n\n\ndef net():\n"
        "    return nn.Sequential(nn.Linear(32, 48), nn.ReLU(), nn.Linear(48, 32))\n"
    )
    text = RECIPE.replace('onnx("net.onnx")', 'torch("net.py:net")')
    text = text.replace("  format      = groups", "  format      = groups\n  batch = fixed(1)")
    Path("r.lotto").write_text(text)
    done = lottoc("compile", "r.lotto", "-o", "out", "-q")
    assert done.exit_code == 0, done.output
    x = np.load("data.npz")["x"][:1]
    exact = run(project / "out" / "float.onnx", x)
    given = run(project / "out" / "small.onnx", x)
    assert np.linalg.norm(given - exact) < 0.03 * np.linalg.norm(exact)


def test_fewer_examples_than_a_model_takes_at_once(project: Path) -> None:
    Path("net.py").write_text(
        "from torch import nn\n\n\ndef net():\n"
        "    return nn.Sequential(nn.Linear(32, 48), nn.ReLU(), nn.Linear(48, 32))\n"
    )
    text = RECIPE.replace('onnx("net.onnx")', 'torch("net.py:net")')
    text = text.replace("  format      = groups", "  format      = groups\n  batch = fixed(61)")
    Path("r.lotto").write_text(text)
    done = lottoc("compile", "r.lotto", "-o", "out")
    assert done.exit_code == 3
    assert "error[onnx-inputs]: the model takes 61 examples at a time, and" in done.output
    assert "--> small.onnx\n" in done.output
    assert "help: give data at least 61 examples" in done.output
