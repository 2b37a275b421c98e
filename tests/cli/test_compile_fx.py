"""`emit fx` from a recipe, and from the IR that it becomes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import lottoc
from lottoc.cli import app

RECIPE = """
model net { source = torch("net.py:net")   seed = 3 }
data blobs { train = npz("blobs.npz", x = "x_train", y = "y_train") }

ticket half { layers = linear - "4"   pattern = 2:4 }
ticket thin { layers = linear - "4"   sparsity = 75% }

emit fx "half.pt2"   { ticket = half   format = semi_structured   target = "nvidia-hopper" }
emit fx "masked.pt2" { ticket = half   format = masked }
emit fx "thin.pt2"   { ticket = thin   format = csr }
emit fx "auto.pt2"   { ticket = thin   batch = [1, 64] }
"""


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def built(project: Path) -> Path:
    (project / "fx.lotto").write_text(RECIPE)
    code, _, err = run("compile", project / "fx.lotto", "-o", project / "out", "-q")
    assert code == 0, err
    return project


def test_programs_and_their_report(built: Path) -> None:
    report = json.loads((built / "out" / "report.json").read_text())
    artefacts = {artefact["path"]: artefact for artefact in report["artefacts"]}
    for path, values, relative in (
        ("half.pt2", "bfloat16", 5e-2),
        ("masked.pt2", "float32", 0),
        ("thin.pt2", "float32", 1e-5),
        ("auto.pt2", "float32", 1e-5),
    ):
        artefact = artefacts[path]
        assert artefact["kind"] == "fx"
        assert [layer["values"] for layer in artefact["layers"]] == [values] * 2
        assert artefact["verified"]["layers"] == 2
        assert max(t["relative"] for t in artefact["verified"]["trials"]) <= relative
        model = lottoc.load(built / "out" / path)
        assert model(torch.zeros(1, 16)).shape == (1, 4)
    code, out, _ = run("report", built / "out")
    assert code == 0
    assert "semi_structured" in out


def test_the_same_bytes_from_ir(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(built)
    code, text, _ = run("ir", "fx.lotto", "--stage", "masks")
    assert code == 0
    (built / "fx.mlir").write_text(text)
    code, _, err = run("compile", "fx.mlir", "-o", "again", "-q")
    assert code == 0, err
    for path in ("half.pt2", "masked.pt2", "thin.pt2"):
        assert (built / "again" / path).read_bytes() == (built / "out" / path).read_bytes()
    for old, new, said in (
        ('format = "csr"', 'format = "packed"', 'unknown format "packed"'),
        ('"nvidia-hopper"', '"onnxruntime-cpu"', 'unknown target "onnxruntime-cpu"'),
        ('lotto.emit "fx"', 'lotto.emit "tf"', 'unknown kind of artefact "tf"'),
    ):
        assert old in text
        (built / "wrong.mlir").write_text(text.replace(old, new))
        code, _, err = run("compile", "wrong.mlir", "-o", "wrong", "-q")
        assert code == 2
        assert said in err


def test_without_data_the_shape_is_not_known(project: Path) -> None:
    lines = [line for line in RECIPE.splitlines() if not line.startswith("data")]
    (project / "fx.lotto").write_text("\n".join(lines))
    code, _, err = run("compile", project / "fx.lotto", "-o", project / "out", "-q")
    assert code == 2
    assert "error[export-needs-data]" in err
    assert not (project / "out").exists() or not list((project / "out").glob("*.pt2"))
