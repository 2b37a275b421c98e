"""SARIF as its schema demands it: every result has a rule, a level, a place within the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lottoc.cli import app

WRONG = """model net { source = onnx("nett.onnx") }
# θ: a character of two bytes
ticket a { layers = all   sparsity = 50%   density = 50%   scope = globl }
ticket a { layers = all   sparsity = 50% }
param unused = 1
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.chdir(tmp_path)
    Path("recipes").mkdir()
    Path("recipes/wrong.lotto").write_text(WRONG)
    run = CliRunner().invoke(app, ["check", "recipes/wrong.lotto", "--format", "sarif"])
    assert run.exit_code == 2
    assert run.stderr == ""
    return json.loads(run.stdout)


def test_the_frame(log: dict) -> None:
    assert log["version"] == "2.1.0"
    assert "sarif" in log["$schema"]
    (run,) = log["runs"]
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
    assert run["tool"]["driver"]["name"] == "lottoc"


def test_results_and_rules(log: dict) -> None:
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len(run["results"]) >= 2
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
    for rule in rules:
        assert rule["shortDescription"]["text"]
        assert rule["help"]["text"].startswith(rule["id"])


def test_places(log: dict) -> None:
    lines = WRONG.splitlines()
    placed = [
        place["physicalLocation"]
        for result in log["runs"][0]["results"]
        for place in (*result["locations"], *result.get("relatedLocations", ()))
    ]
    assert {place["artifactLocation"]["uri"] for place in placed} == {"recipes/wrong.lotto"}
    for place in placed:
        region = place["region"]
        assert 1 <= region["startColumn"] <= region["endColumn"] <= len(lines[-1]) + 200
        assert 1 <= region["startLine"] <= region["endLine"] <= len(lines)
    texts = [
        lines[r["startLine"] - 1][r["startColumn"] - 1 : r["endColumn"] - 1]
        for r in (place["region"] for place in placed)
        if r["startLine"] == r["endLine"]
    ]
    assert 'onnx("nett.onnx")' in texts
    assert "a" in texts


def test_no_finding_is_an_empty_run(tmp_path: Path) -> None:
    (tmp_path / "empty.lotto").write_text("")
    run = CliRunner().invoke(app, ["check", str(tmp_path / "empty.lotto"), "--format", "sarif"])
    assert run.exit_code == 0
    assert json.loads(run.stdout)["runs"][0]["results"] == []
