"""`subset_sum` from recipe to report, and what becomes of `edge_popup` there."""

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
from lottoc.ir import lotto
from lottoc.progress import Silent

NETS = """
from torch import nn

def small():
    return nn.Sequential(nn.Linear(16, 4, bias=False))

def wide():
    layers = nn.Linear(16, 16 * 40, bias=False), nn.ReLU(), nn.Linear(16 * 40, 4, bias=False)
    nn.init.uniform_(layers[0].weight, -1, 1)
    nn.init.uniform_(layers[2].weight, -1, 1)
    return nn.Sequential(*layers)
"""
RECIPE = """
model small { source = torch("nets.py:small") }
model wide  { source = torch("nets.py:wide") }
data blobs {
  train = npz("blobs.npz", x = "x_train", y = "y_train")
  test  = npz("blobs.npz", x = "x_test",  y = "y_test")
}
training sgd { optimizer = sgd(lr = 0.03)   batch = 20   length = 60 steps }
ticket known  { model = small   layers = all   sparsity = 0% }
ticket found  { model = wide    layers = all   method = subset_sum(target = known) }
ticket chance { like = found    mask = shuffle(found) }
ticket super  { model = wide    layers = all   sparsity = 50%   method = edge_popup }
ticket other  { like = super    mask = shuffle(super) }
require found.accuracy >= known.accuracy - 2%
"""


def values(project: Path) -> tuple[dict[str, lotto.TicketOp], Engine]:
    request = Request(Path("s.lotto"), Store(project / "s"))
    module = mask_ir(recipe_ir(request, front(request, Findings(), deep=True)[1]))
    engine = Engine(request.store, Silent())
    return {op.ticket.data: op for op in module.ops if isinstance(op, lotto.TicketOp)}, engine


def test_a_trained_network_is_found_in_a_random_one(project: Path) -> None:
    (project / "nets.py").write_text(NETS)
    (project / "s.lotto").write_text(RECIPE)
    store = str(project / "s")
    result = CliRunner().invoke(app, ["compile", "s.lotto", "-o", "out", "--store", store])
    assert result.exit_code == 0, result.output
    assert "3 of them trainings" not in result.stdout
    report = json.loads((project / "out" / "report.json").read_text())["tickets"]
    (moment,) = report["found"]["moments"]
    assert moment["moment"] == "approximation"
    assert 0 < moment["error"] <= 0.01
    assert 4 < moment["width"] <= 16 * 40
    assert f"found: within {moment['error']:.3g} of its target" in result.stdout
    tickets, engine = values(project)
    masks, weights = (engine.value(v) for v in (tickets["found"].masks, tickets["found"].weights))
    target = engine.value(tickets["known"].weights).layer("0").astype(float)
    first, second = (
        np.where(masks[n].to_bool(), weights.layer(n), 0).astype(float) for n in ("0", "2")
    )
    assert (np.count_nonzero(first, axis=1) <= 1).all()
    for x in np.concatenate([np.eye(16), -np.eye(16)]):
        away = second @ np.maximum(first @ x, 0) - target @ x
        assert np.abs(away).max() <= moment["error"] + 1e-9
    used = np.count_nonzero(first.any(1) & second.any(0))
    assert used == moment["width"]


def test_neither_a_strong_ticket_nor_its_control_trains_weights(project: Path) -> None:
    (project / "nets.py").write_text(NETS)
    (project / "s.lotto").write_text(RECIPE)
    store = str(project / "s")
    assert (
        CliRunner().invoke(app, ["compile", "s.lotto", "-o", "out", "--store", store]).exit_code
        == 0
    )
    tickets, engine = values(project)
    start = engine.value(tickets["found"].weights)
    for name in ("super", "other", "chance"):
        state, masks = engine.value(tickets[name].weights), engine.value(tickets[name].masks)
        for layer in ("0", "2"):
            kept = masks[layer].to_bool()
            assert np.array_equal(state.layer(layer)[kept], start.layer(layer)[kept])
    metrics = json.loads((project / "out" / "report.json").read_text())["tickets"]
    accuracy = {name: row["metrics"]["accuracy"] for name, row in metrics.items()}
    assert accuracy["super"] > accuracy["other"] + 0.1
    assert accuracy["found"] == pytest.approx(accuracy["known"], abs=0.02)
