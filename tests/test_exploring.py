"""Searches over spaces whose best is known, with nothing trained: budgets, order, what guides."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottoc.diagnostics import InputError
from lottoc.exploring import Explorer, Space
from lottoc.frontends.torch_call import call_text, parse_call

SPACE = Space({"width": (4, 8, 16, 32, 64), "depth": (1, 2, 3, 4), "norm": (False, True)})


def worth(arguments: dict[str, Any]) -> float:
    """Best at width 16, depth 3, with normalization."""
    width, depth, norm = arguments["width"], arguments["depth"], arguments["norm"]
    return 1 - abs(width - 16) / 64 - abs(depth - 3) / 8 - (0 if norm else 0.1)


def explore(
    trials: int, seed: int, prior: Callable[[dict[str, Any]], list[float]] | None = None
) -> tuple[list[tuple[dict[str, Any], float]], list[dict[str, Any]]]:
    trained: list[dict[str, Any]] = []

    def train(arguments: dict[str, Any]) -> float:
        trained.append(arguments)
        return worth(arguments)

    return Explorer(SPACE, trials, seed, train, prior).run(), trained


@given(st.integers(1, 50), st.integers(0, 3), st.booleans())
@settings(max_examples=12, deadline=None)
def test_a_budget_is_of_different_networks_and_no_more_than_there_are(
    trials: int, seed: int, guided: bool
) -> None:
    prior = (lambda a: [float(a["width"])]) if guided else None
    found, trained = explore(trials, seed, prior)
    assert [arguments for arguments, _ in found] == trained
    assert len(trained) == min(trials, SPACE.size)
    assert len({repr(sorted(a.items())) for a in trained}) == len(trained)
    assert all(accuracy == worth(arguments) for arguments, accuracy in found)
    assert explore(trials, seed, prior)[0] == found


def test_a_perfect_prior_is_believed_at_once_and_a_wrong_one_is_not_forever() -> None:
    everything = [
        dict(zip(SPACE.values, values, strict=True))
        for values in itertools.product(*SPACE.values.values())
    ]
    best = sorted(everything, key=worth, reverse=True)
    found, _ = explore(9, 0, lambda arguments: [worth(arguments), 10 * worth(arguments)])
    assert [arguments for arguments, _ in found[:3]] == best[:3]
    wrong, _ = explore(40, 0, lambda arguments: [-worth(arguments)])
    assert wrong[0][0] == best[-1]
    assert max(accuracy for _, accuracy in wrong) == worth(best[0])


def test_what_a_prior_cannot_say_counts_as_least() -> None:
    found, _ = explore(3, 0, lambda a: [float("nan") if a["norm"] else float(a["width"])])
    assert found[0][0] == {"width": 64, "depth": 1, "norm": False}


@given(st.integers(1, 60), st.integers(0, 5))
def test_a_sample_is_distinct_and_whole_where_it_can_be(count: int, seed: int) -> None:
    points = SPACE.sample(count, seed)
    assert len(points) == len({*points}) == min(count, SPACE.size)
    assert points == SPACE.sample(count, seed)


def test_without_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "optuna" else find(name, *a)
    )
    with pytest.raises(InputError) as caught:
        explore(2, 0)
    assert caught.value.diagnostics[0].code == "optuna-missing"


def test_calls() -> None:
    text = call_text("net", {"width": 16, "norm": True, "act": "relu", "drop": 0.5})
    assert text == "net(act='relu', drop=0.5, norm=True, width=16)"
    assert parse_call(text) == ("net", {"act": "relu", "drop": 0.5, "norm": True, "width": 16})
    assert parse_call(call_text("net", {})) == ("net", {})
    for wrong in ("net(16)", "a.b()", "net(**x)", "net(w=[1])", "net(w=open('x'))", "net(", "1"):
        assert parse_call(wrong) is None
