"""Eight tickets over one model: the dense network is trained once, a change redoes its own work."""

from __future__ import annotations

from pathlib import Path

import pytest

from lottoc.diagnostics import Findings
from lottoc.driver import compile_recipe, mask_ir, recipe_ir
from lottoc.engine.store import Store
from lottoc.front import Request, front
from lottoc.ir import lotto
from lottoc.progress import Silent

T = 60
RECIPE = """
param amount = 80%
param grown  = 70%
model net { source = torch("net.py:net")   seed = 3 }
data blobs {
  train = npz("blobs.npz", x = "x_train", y = "y_train")
  test  = npz("blobs.npz", x = "x_test",  y = "y_test")
}
training sgd { optimizer = sgd(lr = 0.1, momentum = 0.9)   batch = 20   length = 60 steps }

ticket winning {
  layers   = linear - "4"
  sparsity = amount
  method   = imp(rounds = 3, rewind = 10 steps)
}
ticket earlier  { like = winning   method = imp(rounds = 3) }
ticket once     { like = winning   method = imp(rounds = 1, rewind = 20 steps) }
ticket redrawn  { like = winning   weights = reinit }
ticket signs    { like = winning   weights = signs }
ticket shuffled { like = winning   mask = shuffle(winning) }
ticket snip     { layers = linear - "4"   sparsity = 70%   criterion = snip }
ticket moving   { layers = linear - "4"   sparsity = grown   method = rigl(every = 10 steps) }
"""


def request(project: Path, **defines: str) -> Request:
    (project / "eight.lotto").write_text(RECIPE)
    return Request(Path("eight.lotto"), Store(project / "s"), defines)


def module_of(asked: Request):
    return mask_ir(recipe_ir(asked, front(asked, Findings(), deep=True)[1]))


def test_the_dense_network_is_trained_once(project: Path) -> None:
    asked = request(project)
    module = module_of(asked)
    tickets = [op for op in module.ops if isinstance(op, lotto.TicketOp)]
    assert len([op for op in tickets if op.ticket.data != "dense"]) == 8
    dense = [op for op in module.ops if isinstance(op, lotto.TrainOp) and op.masks is None]
    # in pieces, because tickets rewind to where one ends, and each step in one of them alone
    pieces = sorted((op.first.value.data, op.last.value.data) for op in dense)
    assert pieces == [(0, 10), (10, 20), (20, T)]
    outcome = compile_recipe(asked, project / "out", Findings())
    masked = 3 + 3 + 1 + 3 + 1 + 1  # rounds of imp, three controls, snip, rigl
    assert outcome.trained == len(pieces) + masked
    assert compile_recipe(asked, project / "again", Findings()).computed == 0


@pytest.mark.parametrize(
    ("change", "trainings", "what"),
    [({"grown": "60%"}, 1, "moved by rigl"), ({"amount": "75%"}, 3 + 3 + 1 + 3, "under a mask")],
)
def test_a_changed_ticket_redoes_its_own_work_alone(
    project: Path, change: dict[str, str], trainings: int, what: str
) -> None:
    compile_recipe(request(project), project / "out", Findings())
    done: list[tuple[str, str]] = []
    asked = request(project, **change)
    asked = Request(
        asked.recipe,
        asked.store,
        change,
        Silent(),
        lambda verb, text, key: done.append((verb, text)),
    )
    outcome = compile_recipe(asked, project / "more", Findings())
    assert outcome.trained == trainings
    computed = [text for verb, text in done if verb == "computed" and "train" in text.split()[0]]
    assert len(computed) == trainings
    assert all(what in text for text in computed), "dense trainings are found again"
    if "grown" in change:  # what is not this ticket's is all there already
        assert not any(
            "snip" in text or "gradient" in text for verb, text in done if verb == "computed"
        )
