"""`lottoc bench`: real timings of real models, and clear words where there can be none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1]))

from onnx_toys import build

from lottoc.backends.onnx import emit
from lottoc.cli import app
from lottoc.frontends.onnx_model import open_onnx


def bench(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["bench", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path]:
    """A dense model, and the same one packed under a mask that keeps everything."""
    dense = build("gemm", 64, 64).save(tmp_path, "dense.onnx")
    model = open_onnx(dense)
    mask = {layer.name: np.ones(layer.shape, np.bool_) for layer in model.signature}
    emit(model, tmp_path / "packed.onnx", mask, format="packed")
    return dense, tmp_path / "packed.onnx"


def test_timings_of_every_batch_and_thread_count(models: tuple[Path, Path]) -> None:
    dense, packed = models
    options = ["--batch", "1,4", "--threads", "1,2", "--samples", "3", "--format", "json"]
    code, out, _ = bench(packed, "--against", dense, *options)
    assert code == 0
    timings = json.loads(out)["timings"]
    assert [(t["threads"], t["batch"]) for t in timings] == [(1, 1), (1, 4), (2, 1), (2, 4)]
    for timing in timings:
        assert timing["dense"] > 0
        assert timing["speedup"] == pytest.approx(timing["dense"] / timing["compiled"])
        assert timing["error"] == 0


def test_the_table_names_both_files(models: tuple[Path, Path]) -> None:
    dense, packed = models
    code, out, _ = bench(packed, "--against", dense, "--samples", "2")
    assert code == 0
    assert "packed.onnx" in out.splitlines()[0]
    assert "of dense.onnx" in out.splitlines()[0]
    assert len(out.splitlines()) == 3


def test_different_outputs_show(models: tuple[Path, Path], tmp_path: Path) -> None:
    dense, _ = models
    model = open_onnx(dense)
    mask = {layer.name: np.eye(*layer.shape, dtype=np.bool_) for layer in model.signature}
    emit(model, tmp_path / "pruned.onnx", mask)
    options = ["--samples", "1", "--format", "json"]
    _, out, _ = bench(tmp_path / "pruned.onnx", "--against", dense, *options)
    assert json.loads(out)["timings"][0]["relative"] > 0.1


def test_what_cannot_be_timed(models: tuple[Path, Path], tmp_path: Path) -> None:
    dense, packed = models
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(dense.read_bytes()[:100])
    for file, code in ((tmp_path / "none.onnx", "model-not-found"), (broken, "bench-failed")):
        exit_code, _, err = bench(file, "--against", dense)
        assert exit_code == 3
        assert f"error[{code}]" in err
    assert bench(packed, "--against", dense, "--batch", "many")[0] == 2
