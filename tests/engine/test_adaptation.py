"""A recipe with `lota`, compiled: the mask is of the largest changes, nothing else has moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lottoc.diagnostics import Findings, LottoError
from lottoc.driver import compile_recipe, mask_ir, recipe_ir
from lottoc.engine.evaluate import Engine
from lottoc.engine.store import Store
from lottoc.front import Request, front
from lottoc.ir import lotto
from lottoc.progress import Silent

RECIPE = """
model m { source = torch("net.py:net") }
data d { train = npz("d.npz", x = "x", y = "y")   test = npz("d.npz", x = "x", y = "y") }
training loop { optimizer = adamw(lr = 0.01)   batch = 10   length = 20 steps }
ticket task   { layers = all   sparsity = 60%   method = lota(calibrate = 8 steps) }
ticket chance { like = task   mask = shuffle(task) }
emit onnx "task.onnx" { ticket = task }
"""


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    monkeypatch.chdir(tmp_path)
    stream = np.random.default_rng(0)
    x, y = stream.normal(size=(40, 8)).astype(np.float32), stream.integers(0, 4, 40)
    np.savez("d.npz", x=x, y=y)
    Path("net.py").write_text(
        "from torch import nn\ndef net():\n"
        "    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))\n"
    )
    Path("r.lotto").write_text(RECIPE)
    return Request(Path("r.lotto"), Store(tmp_path / "store"))


def test_masked_weights_alone_move(request_: Request) -> None:
    module = mask_ir(recipe_ir(request_, front(request_, Findings(), deep=True)[1]))
    engine = Engine(request_.store, Silent())
    engine.run(module)
    tickets = {op.ticket.data: op for op in module.ops if isinstance(op, lotto.TicketOp)}
    values: dict[str, Any] = {}
    for name in ("task", "chance"):
        op = tickets[name]
        assert op.masks is not None
        masks = engine.value(op.masks)
        train: Any = op.weights.owner
        start, final = engine.value(train.weights), engine.value(op.weights)
        for layer, mask in masks.items():
            kept = mask.to_bool()
            before, after = start.layer(layer), final.layer(layer)
            assert before[~kept].tobytes() == after[~kept].tobytes()
            assert (before[kept] != after[kept]).mean() > 0.9
            bias = f"model/{layer}.bias"
            assert start.arrays[bias].tobytes() == final.arrays[bias].tobytes()
        values[name] = masks
    assert sum(m.kept for m in values["task"].values()) == 192 - int(0.6 * 192)
    assert values["task"] != values["chance"]

    difference = next(op for op in module.ops if isinstance(op, lotto.DifferenceOp))
    moved = {n: np.abs(engine.value(difference.result).layer(n)) for n in values["task"]}
    kept = np.concatenate([moved[n][m.to_bool()] for n, m in values["task"].items()])
    left = np.concatenate([moved[n][~m.to_bool()] for n, m in values["task"].items()])
    assert kept.min() >= left.max(), "the mask is of the largest changes"


def test_what_is_shipped_is_whole(request_: Request, tmp_path: Path) -> None:
    """Weights outside of the mask are not zero in the artefact, which is verified."""
    outcome = compile_recipe(request_, tmp_path / "out", Findings())
    (artefact,) = outcome.artefacts
    assert all(layer["sparsity"] < 0.1 for layer in artefact.layers)


def test_a_mask_that_moves_little_is_not_asked_what_it_cuts(request_: Request) -> None:
    """What the mask does not keep is there: nothing is cut, however few weights move."""
    module = recipe_ir(request_, front(request_, Findings(), deep=True)[1])
    assert not any(isinstance(op, lotto.CheckSignalOp) for op in module.ops)
    Path("r.lotto").write_text(RECIPE.replace("lota(calibrate = 8 steps)", "imp"))
    module = recipe_ir(request_, front(request_, Findings(), deep=True)[1])
    assert any(isinstance(op, lotto.CheckSignalOp) for op in module.ops)


def test_a_task_vector_without_a_task(request_: Request) -> None:
    wrong = RECIPE.replace("method = lota(calibrate = 8 steps)", "criterion = task_vector")
    Path("r.lotto").write_text(wrong)
    with pytest.raises(LottoError, match="method-unsuited"):
        front(request_, Findings(), deep=True)


def test_a_task_after_another_leaves_it_alone(request_: Request) -> None:
    """It begins where the first ended; neither calibration nor training moves what that moved."""
    text = RECIPE + "ticket next { like = task   criterion = random   exclude = task.mask }\n"
    text += "ticket third { like = task   sparsity = 70%   exclude = next.mask }\n"
    Path("r.lotto").write_text(text.replace("60%", "70%"))
    module = mask_ir(recipe_ir(request_, front(request_, Findings(), deep=True)[1]))
    engine = Engine(request_.store, Silent())
    engine.run(module)
    tickets = {op.ticket.data: op for op in module.ops if isinstance(op, lotto.TicketOp)}
    ends: dict[str, Any] = {}
    taken: dict[str, Any] = {}
    for name in ("task", "next", "third"):
        op: Any = tickets[name]
        masks, train = engine.value(op.masks), op.weights.owner
        start = engine.value(train.weights)
        earlier = list(ends.values())[-1] if ends else start
        ends[name] = engine.value(op.weights)
        for layer, mask in masks.items():
            kept = mask.to_bool()
            before = earlier.layer(layer)
            assert start.layer(layer).tobytes() == before.tobytes()
            assert ends[name].layer(layer)[~kept].tobytes() == before[~kept].tobytes()
            assert not (kept & taken.get(layer, np.zeros_like(kept))).any()
            taken[layer] = kept | taken.get(layer, np.zeros_like(kept))
    assert sum(int(kept.sum()) for kept in taken.values()) == 3 * 58

    differences = [op for op in module.ops if isinstance(op, lotto.DifferenceOp)]
    tuned: Any = differences[-1].weights.owner
    assert tuned.frozen is not None
    for layer, free in engine.value(tuned.masks).items():
        moved = engine.value(differences[-1].result).layer(layer) != 0
        assert not (moved & ~free.to_bool()).any()
