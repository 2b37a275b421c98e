"""`model = shapes.best` and `search` blocks from recipe to artefact."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lottoc.cli import app

NETS = """
from torch import nn

def mlp(width, depth=1):
    layers, given = [], 16
    for _ in range(depth):
        layers += [nn.Linear(given, width), nn.ReLU()]
        given = width
    return nn.Sequential(*layers, nn.Linear(given, 4))

def small():
    return mlp(2)

def wide():
    return mlp(64)
"""
HEAD = """
data blobs {
  train = npz("blobs.npz", x = "x_train", y = "y_train")
  test  = npz("blobs.npz", x = "x_test",  y = "y_test")
}
training sgd { optimizer = sgd(lr = 0.02)   batch = 20   length = 30 steps }
"""
RANK = (
    HEAD
    + """
model small { source = torch("nets.py:small") }
model wide  { source = torch("nets.py:wide") }
rank shapes { models = [small, wide]   proxies = [synflow, grad_norm] }
ticket half { model = shapes.best   layers = all   sparsity = 50% }
emit onnx "best.onnx" { model = shapes.best   ticket = half }
"""
)
SEARCH = (
    HEAD
    + """
param trials = 3
search space {
  source  = torch("nets.py:mlp")
  space   = choices(width = [2, 8, 32], depth = [1..2])
  trials  = trials
  proxies = [naswot(samples = 32)]
}
ticket half { model = space.best   layers = all   sparsity = 50% }
emit onnx "best.onnx" { ticket = half }
"""
)


@pytest.fixture
def nets(project: Path) -> Path:
    (project / "nets.py").write_text(NETS)
    return project


def compiled(project: Path, text: str, out: str, *more: str) -> dict[str, object]:
    (project / "s.lotto").write_text(text)
    result = CliRunner().invoke(app, ["compile", "s.lotto", "-o", out, "--format", "json", *more])
    assert result.exit_code == 0, result.output
    report: dict[str, object] = json.loads((project / out / "report.json").read_text())
    return {**report, "computed": json.loads(result.stdout)["computed"]}


def test_the_first_of_a_rank_is_a_tickets_model(nets: Path) -> None:
    report = compiled(nets, RANK, "out")
    assert report["ranks"]["shapes"]["order"][0] == "wide"
    assert report["tickets"]["half"]["layers"][0]["shape"] == [64, 16]
    assert report["artefacts"][0]["path"] == "best.onnx"


def test_a_search_trains_as_many_as_asked_and_the_best_is_a_model(nets: Path) -> None:
    report = compiled(nets, SEARCH, "out")
    found = report["ranks"]["space"]
    assert len(found["models"]) == 3
    scores = {name: m["proxies"]["accuracy"] for name, m in found["models"].items()}
    assert scores[found["order"][0]] == max(scores.values())
    width = int(found["order"][0].rpartition("width = ")[2].rstrip(")"))
    assert report["tickets"]["half"]["layers"][0]["shape"] == [width, 16]
    again = compiled(nets, SEARCH, "again")
    assert again["computed"] == 0
    assert again["ranks"] == report["ranks"]
    more = compiled(nets, SEARCH, "more", "-D", "trials=6")["ranks"]["space"]
    assert len(more["models"]) == 6
    for name, accuracy in scores.items():
        if name in more["models"]:
            assert more["models"][name]["proxies"]["accuracy"] == accuracy


def test_a_check_trains_nothing(nets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(*_: object, **__: object) -> None:
        raise AssertionError("a check has trained")

    monkeypatch.setattr("lottoc.training.loop.train", trained)
    (nets / "s.lotto").write_text(SEARCH)
    for more in ([], ["--load-models"]):
        result = CliRunner().invoke(app, ["check", "s.lotto", *more])
        assert result.exit_code == 0, result.output
        assert "note[best-unknown]" in result.stderr
        assert "checked with mlp(depth=1, width=2)" in result.stderr
    wrong = SEARCH.replace("sparsity = 50%", "sparsity = 50%   scope = gobal")
    (nets / "s.lotto").write_text(wrong)
    result = CliRunner().invoke(app, ["compile", "s.lotto", "-o", "out"])
    assert result.exit_code == 2
    assert 'did you mean "global"?' in result.stderr


def test_a_function_that_does_not_take_the_arguments(nets: Path) -> None:
    (nets / "s.lotto").write_text(SEARCH.replace("depth = [1..2]", "height = [1]"))
    result = CliRunner().invoke(app, ["compile", "s.lotto", "-o", "out"])
    assert result.exit_code == 3
    assert "error[torch-model]" in result.stderr
    assert "unexpected keyword argument 'height'" in result.stderr
    assert "what lottoc calls is  mlp(height=1, width=2)" in result.stderr
    assert 'source  = torch("nets.py:mlp")' in result.stderr


def test_a_network_of_the_space_that_does_not_run(nets: Path) -> None:
    (nets / "nets.py").write_text(NETS.replace("given = width", "given = min(width, 8)"))
    (nets / "s.lotto").write_text(SEARCH.replace("[2, 8, 32]", "[2, 8, 16]"))
    result = CliRunner().invoke(app, ["compile", "s.lotto", "-o", "out"])
    assert result.exit_code == 3, result.output
    assert re.search(r"it is of the network  mlp\(depth=\d, width=16\)", result.stderr)


def test_a_network_of_a_rank_that_does_not_run(nets: Path) -> None:
    (nets / "nets.py").write_text(NETS.replace("return mlp(64)", "return nn.Linear(5, 4)"))
    (nets / "s.lotto").write_text(RANK)
    result = CliRunner().invoke(app, ["compile", "s.lotto", "-o", "out"])
    assert result.exit_code == 3, result.output
    assert "error[model-data-shape]" in result.stderr
    assert "--> s.lotto:" in result.stderr
    assert 'the model is "wide"' in result.stderr


def test_tables_show_accuracies_as_shares(nets: Path) -> None:
    (nets / "s.lotto").write_text(SEARCH)
    result = CliRunner().invoke(app, ["compile", "s.lotto", "-o", "out"])
    rows = [line.split() for line in result.stdout.splitlines() if line.startswith(" space(")]
    assert len(rows) == 3
    assert all(re.fullmatch(r"\d+\.\d\d%", row[-1]) for row in rows)


def test_without_optuna(nets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "optuna" else find(name, *a)
    )
    (nets / "s.lotto").write_text(SEARCH)
    result = CliRunner().invoke(app, ["compile", "s.lotto", "-o", "out"])
    assert result.exit_code == 3
    assert "error[optuna-missing]: a search needs optuna" in result.stderr
