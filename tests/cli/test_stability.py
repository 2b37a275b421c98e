"""`stability` blocks from recipe to report: the step found is the one that tickets rewind to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lottoc.cli import app
from lottoc.diagnostics import Findings, RequirementError
from lottoc.driver import Outcome, compile_recipe
from lottoc.engine.store import Store
from lottoc.front import Request

RECIPE = """
param threshold = 50%
model net { source = torch("net.py:net")   seed = 3 }
data blobs {
  train = npz("blobs.npz", x = "x_train", y = "y_train")
  test  = npz("blobs.npz", x = "x_test",  y = "y_test")
}
training sgd { optimizer = sgd(lr = 0.1, momentum = 0.9)   batch = 20   length = 40 steps }
stability basin { at = [10, 0] steps   points = 5   threshold = threshold }
ticket late { layers = linear   sparsity = 50%   method = imp(rounds = 1, rewind = basin.step) }
"""


def compiled(project: Path, text: str, out: str = "out", **defines: str) -> Outcome:
    (project / "s.lotto").write_text(text)
    request = Request(Path("s.lotto"), Store(project / "s"), defines)
    return compile_recipe(request, project / out, Findings())


def test_the_step_is_found_and_rewound_to(project: Path) -> None:
    outcome = compiled(project, RECIPE)
    (found,) = outcome.stabilities
    assert list(found.lines) == [0, 10]
    assert found.step == 0
    # dense in two pieces, a second copy from each step, and the ticket
    assert outcome.trained == 2 + 2 + 1
    report = json.loads((project / "out" / "report.json").read_text())
    block = report["stability"]["basin"]
    assert block["step"] == 0
    for row in block["barriers"]:
        (errors,) = row["errors"]
        assert len(errors) == 5
        assert row["barrier"] == pytest.approx(max(errors) - (errors[0] + errors[-1]) / 2)
    dense = report["tickets"]["dense"]["metrics"]["accuracy"]
    assert [row["errors"][0][0] for row in block["barriers"]] == pytest.approx([1 - dense] * 2)
    assert block["barriers"][0]["errors"] != block["barriers"][1]["errors"]
    picture = (project / "out" / "basin.svg").read_text()
    assert len(re.findall("<circle", picture)) == 2
    # by hand: the same ticket
    again = compiled(project, RECIPE.replace("basin.step", "0 steps"), "hand")
    assert again.trained == 0
    assert compiled(project, RECIPE, "again").computed == 0
    assert (project / "again" / "basin.svg").read_text() == picture


def test_no_step_is_stable(project: Path) -> None:
    """A barrier is at least 0, so none is below 0 %."""
    with pytest.raises(RequirementError) as error:
        compiled(project, RECIPE, threshold="0%")
    (diagnostic,) = error.value.diagnostics
    assert diagnostic.code == "never-stable"
    assert "stay below 0%: " in diagnostic.message
    assert "at step 0" in diagnostic.message
    assert "at step 10" in diagnostic.message
    assert not (project / "out").exists()
    # where no ticket asks, the block is but shown
    outcome = compiled(project, RECIPE.replace("basin.step", "5 steps"), threshold="0%")
    assert outcome.stabilities[0].step is None


def test_the_table(project: Path) -> None:
    (project / "s.lotto").write_text(RECIPE)
    result = CliRunner().invoke(app, ["compile", "s.lotto", "-o", "out"])
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert any(line[:2] == ["basin", "barrier"] for line in lines)
    assert [line[:2] for line in lines if line[-2:] == ["on"] or "stable" in line] == [
        ["step", "0"]
    ]


def test_more_copies_have_more_pairs(project: Path) -> None:
    text = RECIPE.replace("points = 5", "points = 3   copies = 3   seed = 4")
    outcome = compiled(project, text)
    assert all(len(pairs) == 3 for pairs in outcome.stabilities[0].lines.values())
    assert outcome.trained == 2 + 4 + 1


def test_a_step_behind_the_end_of_epochs(project: Path) -> None:
    text = RECIPE.replace("at = [10, 0] steps", "at = [9 epochs]").replace(
        "rewind = basin.step", "rewind = 0 steps"
    )
    with pytest.raises(Exception, match="rewind-past-end"):
        compiled(project, text)
