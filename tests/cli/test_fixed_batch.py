"""`batch = fixed(n)`: models that take one batch size, and run as the open ones do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from typer.testing import CliRunner

from lottoc.cli import app

NET = """
from torch import nn

def net():
    return nn.Sequential(nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
                         nn.Linear(64, 3))
"""
RECIPE = """
model net { source = torch("net.py:net") }
data d {
  train = npz("d.npz", x = "x", y = "y")
  test  = npz("d.npz", x = "x", y = "y")
}
ticket thin {
  layers   = linear - "4"
  scope    = layerwise
  pattern  = groups(16)
  sparsity = 75%
}
emit onnx "open.onnx"  { ticket = thin   format = groups }
emit onnx "one.onnx"   { ticket = thin   format = groups   batch = fixed(1) }
emit onnx "three.onnx" { ticket = thin   format = groups   batch = fixed(3) }
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 48)).astype(np.float32)
    np.savez("d.npz", x=x, y=rng.integers(0, 3, 5))
    Path("net.py").write_text(NET)
    Path("r.lotto").write_text(RECIPE)
    return tmp_path


def lottoc(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def run(path: str, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs: np.ndarray = session.run(None, {session.get_inputs()[0].name: x})[0]
    return outputs


def test_a_model_takes_the_one_size_and_computes_what_the_open_one_does(project: Path) -> None:
    code, output = lottoc("compile", "r.lotto", "-o", "out", "--store", "store")
    assert code == 0, output
    for name, size in (("one", 1), ("three", 3)):
        graph = onnx.load(f"out/{name}.onnx").graph
        (given,) = graph.input
        dims = given.type.tensor_type.shape.dim
        assert [d.dim_value for d in dims] == [size, 48]
        x = np.random.default_rng(size).standard_normal((size, 48)).astype(np.float32)
        wanted = run("out/open.onnx", x)
        np.testing.assert_allclose(run(f"out/{name}.onnx", x), wanted, atol=1e-5)
    picks = [n.op_type for n in onnx.load("out/one.onnx").graph.node if "gathered" in n.output[0]]
    assert picks == ["GatherElements", "GatherElements"]
    assert lottoc("verify", "out/one.onnx")[0] == 0


def test_ir_says_so_and_is_checked(project: Path) -> None:
    code, text = lottoc("ir", "--stage", "masks", "r.lotto")
    assert code == 0, text
    assert text.count("fixed = true") == 2
    wrong = text.replace("batch = [3 : i64], fixed", "batch = [3 : i64, 4 : i64], fixed")
    assert wrong != text
    Path("r.mlir").write_text(wrong)
    code, output = lottoc("compile", "r.mlir", "-o", "out", "--store", "store")
    assert code == 2
    assert "fixed is of emit onnx with one batch size" in output


def test_an_error_names_the_artefact_and_no_file_that_is_gone(project: Path) -> None:
    small = "values = int8   activations = int8 }"
    last = 'emit onnx "auto.onnx" { ticket = thin   batch = fixed(1)   '
    Path("r.lotto").write_text(RECIPE + last + small)
    code, output = lottoc("compile", "r.lotto", "-o", "out", "--store", "store")
    assert code == 3
    assert "error[onnx-format]: no layer can multiply in int8" in output
    assert "--> auto.onnx\n" in output
    assert ".lottoc-" not in output


@pytest.mark.parametrize(
    ("emit", "reason"),
    [
        ('emit fx "a.pt2" { ticket = thin   batch = fixed(1) }', "emit fx has no models of one"),
        ('emit onnx "a.onnx" { ticket = digits.core   swap = digits.specialists   '
         "batch = fixed(1) }", "a core into which specialists are swapped takes any batch"),
    ],
)  # fmt: skip
def test_where_it_cannot_be(project: Path, emit: str, reason: str) -> None:
    training = "training t { optimizer = sgd(lr = 0.1)   batch = 2   length = 1 steps }\n"
    split = "split digits { ticket = thin   partitions = by_class([0], [1, 2]) }\n"
    Path("r.lotto").write_text(RECIPE + training + split + emit)
    code, output = lottoc("check", "r.lotto")
    assert code == 2
    assert "error[batch-fixed]" in output
    assert reason in output
