"""`sanity` blocks from recipe to report: controls are tickets, and equal work is done once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lottoc.cli import app
from lottoc.diagnostics import Findings
from lottoc.driver import mask_ir, recipe_ir
from lottoc.engine.evaluate import Engine
from lottoc.engine.store import Store
from lottoc.front import Request, front
from lottoc.ir import lotto, mask
from lottoc.progress import Silent

RECIPE = """
model net { source = torch("net.py:net")   seed = 3 }
data blobs {
  train = npz("blobs.npz", x = "x_train", y = "y_train")
  test  = npz("blobs.npz", x = "x_test",  y = "y_test")
}
training sgd { optimizer = sgd(lr = 0.1)   batch = 20   length = 20 steps }
ticket snip    { layers = linear   criterion = snip   sparsity = 50% }
ticket winning { layers = linear   sparsity = 50%   method = imp(rewind = 5 steps) }
sanity checks { tickets = [snip, winning] }
"""
OWN = """
ticket shuffled { like = snip   mask = shuffle(snip) }
ticket redrawn  { like = snip   weights = reinit }
require checks.shuffle.drop(snip) >= snip.accuracy - shuffled.accuracy
"""


def lowered(project: Path, text: str) -> tuple[list[object], Engine]:
    (project / "s.lotto").write_text(text)
    request = Request(Path("s.lotto"), Store(project / "s"))
    _, program = front(request, Findings(), deep=True)
    module = mask_ir(recipe_ir(request, program))
    return list(module.ops), Engine(request.store, Silent())


def test_controls_that_a_recipe_has_itself_are_trained_once(project: Path) -> None:
    ops, _ = lowered(project, RECIPE)
    trainings = sum(isinstance(op, lotto.TrainOp) for op in ops)
    more, _ = lowered(project, RECIPE + OWN)
    assert sum(isinstance(op, lotto.TrainOp) for op in more) == trainings
    # dense in three pieces at most, then a training for each of two tickets and six controls
    assert trainings <= 3 + 8 + 1


def test_what_the_masks_of_controls_are(project: Path) -> None:
    ops, engine = lowered(project, RECIPE)
    masks = {
        op.ticket.data: engine.value(op.masks)
        for op in ops
        if isinstance(op, lotto.TicketOp) and op.masks is not None
    }
    assert [name for name in masks if name.startswith("checks.")] == [
        f"checks.{control}.{ticket}"
        for ticket in ("snip", "winning")
        for control in ("shuffle", "reinit", "invert")
    ]
    for name, original in masks["snip"].items():
        shuffled = masks["checks.shuffle.snip"][name]
        assert shuffled.kept == original.kept
        assert not np.array_equal(shuffled.to_bool(), original.to_bool())
        redrawn = masks["checks.reinit.snip"][name]
        assert np.array_equal(redrawn.to_bool(), original.to_bool())
    scores = [op for op in ops if isinstance(op, mask.ScoreOp) and op.criterion.data == "snip"]
    by_layer = {(op.layer.data, op.inverted is not None): engine.value(op.result) for op in scores}
    for name, inverted in masks["checks.invert.snip"].items():
        values = by_layer[name, False]
        np.testing.assert_array_equal(by_layer[name, True], -values)
        if 0 < inverted.kept < inverted.size:
            assert values[inverted.to_bool()].max() <= values[~inverted.to_bool()].min()


def test_the_report_and_the_table(project: Path) -> None:
    (project / "s.lotto").write_text(RECIPE)
    result = CliRunner().invoke(app, ["compile", "s.lotto", "-o", "out"])
    assert result.exit_code == 0, result.output
    report = json.loads((project / "out" / "report.json").read_text())
    tickets, sanity = report["tickets"], report["sanity"]["checks"]
    assert list(sanity) == ["snip", "winning"]
    for name, row in sanity.items():
        assert row["accuracy"] == tickets[name]["metrics"]["accuracy"]
        for control, found in row["controls"].items():
            twin = tickets[f"checks.{control}.{name}"]["metrics"]["accuracy"]
            assert found["accuracy"] == twin
            assert found["drop"] == pytest.approx(row["accuracy"] - twin)
    (head,) = [
        line for line in map(str.strip, result.stdout.splitlines()) if line.startswith("checks")
    ]
    assert head.split() == [
        "checks",
        "accuracy",
        "shuffle",
        "drops",
        "reinit",
        "drops",
        "invert",
        "drops",
    ]
    rows = [
        line.split()
        for line in map(str.strip, result.stdout.splitlines())
        if line.startswith("winning")
    ]
    drop = 100 * sanity["winning"]["controls"]["shuffle"]["drop"]
    assert rows[-1][2] == f"{drop:+.2f}"
    assert "checks." not in result.stdout


def test_a_drop_in_a_require(project: Path) -> None:
    (project / "s.lotto").write_text(RECIPE + "require checks.shuffle.drop(snip) > 200%\n")
    result = CliRunner().invoke(app, ["check", "s.lotto", "--load-models"])
    assert "require-never" in result.stderr
    (project / "s.lotto").write_text(RECIPE + "require checks.shuffle.drop(snip) > 99%\n")
    result = CliRunner().invoke(app, ["compile", "s.lotto", "-o", "out"])
    assert result.exit_code == 1
    assert "checks.shuffle.drop(snip) > 99% does not hold" in result.stderr
