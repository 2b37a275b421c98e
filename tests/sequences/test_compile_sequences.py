"""The recipes of `examples/sequences`, on smaller networks and images: from text to artefacts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

import lottoc
from lottoc.backends.onnx.contents import inspect
from lottoc.cli import app

EXAMPLES = Path(__file__).parents[2] / "examples" / "sequences"


def images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright row, which says the class."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 10
    x = draw.random((count, 28, 28)) / 4
    x[np.arange(count), 2 * labels + 3] += 0.7
    return (255 * x).clip(0, 255).astype(np.uint8).reshape(count, 784), labels


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    x_train, y_train = images(400, 0)
    x_test, y_test = images(100, 1)
    (tmp_path / "lenet").mkdir()
    known = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    np.savez(tmp_path / "lenet" / "mnist.npz", **known)
    (tmp_path / "sequences").mkdir()
    nets = (EXAMPLES / "sequences.py").read_text().replace("width: int = 64", "width: int = 16")
    (tmp_path / "sequences" / "sequences.py").write_text(nets)
    monkeypatch.chdir(tmp_path / "sequences")
    monkeypatch.setenv("LOTTOC_STORE", str(tmp_path / "store"))
    return tmp_path / "sequences"


def compiled(folder: Path, name: str, steps: int) -> dict[str, Any]:
    """The report of a recipe on a narrow network, trained for few steps."""
    text = (EXAMPLES / f"{name}.lotto").read_text()
    text = (
        text.replace("accuracy - 2%", "accuracy - 60%")
        .replace("rewind = 100 steps", "rewind = 10 steps")
        .replace("lr = 0.001", "lr = 0.01")
    )
    (folder / "r.lotto").write_text(text.replace("rounds = 4", "rounds = 2"))
    run("compile", "r.lotto", "-o", "out", "-q", "-D", f"end={steps} steps")
    report: dict[str, Any] = json.loads((folder / "out" / "report.json").read_text())
    return report


def check(folder: Path, name: str, report: dict[str, Any]) -> None:
    """As many weights are pruned as asked for; both artefacts are one network, with the zeros."""
    layers = {layer["name"]: layer for layer in report["tickets"]["winning"]["layers"]}
    total = sum(layer["kept"] for layer in layers.values())
    size = sum(np.prod(layer["shape"]) for layer in layers.values())
    assert total == size - int(0.8 * size)
    x = images(7, 2)[0].astype(np.float32) / 255
    session = onnxruntime.InferenceSession(str(folder / "out" / f"{name}.onnx"))
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    program = lottoc.load(folder / "out" / f"{name}.pt2")
    with torch.no_grad():
        again = program(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, again, rtol=1e-4, atol=1e-5)
    for artefact in report["artefacts"]:
        written = {layer["name"]: layer for layer in artefact["layers"]}
        assert written.keys() == layers.keys()
        assert {n: layer["kept"] for n, layer in written.items()} == {
            n: layer["kept"] for n, layer in layers.items()
        }
        assert artefact["verified"]["layers"] == len(layers)
    for row in inspect(folder / "out" / f"{name}.onnx"):
        if row.layer.name in layers:
            assert row.nonzeros <= layers[row.layer.name]["kept"]


def test_transformer(folder: Path) -> None:
    report = compiled(folder, "transformer", 30)
    projections = [f"encoder.layers.{i}.self_attn.in_proj_weight" for i in (0, 1)]
    layers = {layer["name"] for layer in report["tickets"]["winning"]["layers"]}
    assert layers > set(projections)
    assert not layers & {"embed", "head"}
    check(folder, "transformer", report)
