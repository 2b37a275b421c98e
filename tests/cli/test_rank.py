"""`rank` blocks from recipe to report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lottoc.cli import app
from lottoc.report.ranking import Ranking

NETS = """
from torch import nn

def mlp(width):
    return nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, 4))

def small():
    return mlp(4)

def wide():
    return mlp(64)
"""
RECIPE = """
model small { source = torch("nets.py:small") }
model wide  { source = torch("nets.py:wide") }
data blobs { train = npz("blobs.npz", x = "x_train", y = "y_train") }
rank shapes { models = [small, wide]   proxies = [synflow, snip(samples = 32), grad_norm] }
"""


def test_the_order_is_that_of_mean_ranks() -> None:
    ranking = Ranking(
        "r",
        {
            "a": {"p": 1.0, "q": 5.0, "s": -1.0},
            "b": {"p": 3.0, "q": 5.0, "s": float("-inf")},
            "c": {"p": 2.0, "q": 1.0, "s": 0.0},
        },
    )
    assert ranking.ranks == {
        "a": {"p": 3, "q": 1, "s": 2},
        "b": {"p": 1, "q": 1, "s": 3},
        "c": {"p": 2, "q": 3, "s": 1},
    }
    assert ranking.means == {"a": 2, "b": pytest.approx(5 / 3), "c": 2}
    assert ranking.order == ["b", "a", "c"]


def test_from_recipe_to_report(project: Path) -> None:
    (project / "nets.py").write_text(NETS)
    (project / "r.lotto").write_text(RECIPE)
    result = CliRunner().invoke(app, ["compile", "r.lotto", "-o", "out"])
    assert result.exit_code == 0, result.output
    report = json.loads((project / "out" / "report.json").read_text())
    ranks = report["ranks"]["shapes"]
    assert ranks["order"] == ["wide", "small"]
    assert list(ranks["models"]["small"]["proxies"]) == ["synflow", "snip", "grad_norm"]
    lines = [line.split() for line in result.stdout.splitlines() if line.strip()]
    assert lines[0][0] == "shapes"  # no table of tickets where there are none
    assert [line[0] for line in lines[2:4]] == ["wide", "small"]
    again = CliRunner().invoke(app, ["compile", "r.lotto", "-o", "again"])
    assert "all results reused" in again.stdout
    text = CliRunner().invoke(app, ["ir", "r.lotto"]).stdout
    (project / "r.mlir").write_text(text.replace('lotto.proxy "snip"', 'lotto.proxy "snap"'))
    wrong = CliRunner().invoke(app, ["compile", "r.mlir", "-o", "out"])
    assert 'error[ir-not-runnable]: there is no proxy "snap"' in wrong.stderr
    (project / "r.mlir").write_text(text)
    same = CliRunner().invoke(app, ["compile", "r.mlir", "-o", "same", "--store", "other"])
    assert same.exit_code == 0
    assert json.loads((project / "same" / "report.json").read_text())["ranks"] == report["ranks"]
