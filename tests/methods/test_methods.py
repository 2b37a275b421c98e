"""Methods on a bench that computes at once: five weights, a training known by heart."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pytest

from lottoc.criteria.task_vector import TaskVector
from lottoc.masks.allocate import pruned_count, schedule
from lottoc.masks.select import keep_best
from lottoc.methods import METHODS, method_class
from lottoc.methods.imp import Imp
from lottoc.methods.lab import Duration
from lottoc.methods.lota import Lota
from lottoc.methods.one_shot import OneShot
from lottoc.signature import Layer

THETA_0 = np.array([1.0, -1.0, 1.0, 1.0, -1.0])
THETA_T = np.array([0.1, -0.5, 0.3, -0.05, 0.2])


@dataclass
class Bench:
    """θ_T is fixed whatever the start; every call is written down."""

    sparsity: Fraction = Fraction(2, 5)
    total_steps: int = 100
    calls: list[tuple[object, ...]] = field(default_factory=list)
    moments: list[str] = field(default_factory=list)
    free: np.ndarray | None = None

    @property
    def initial(self) -> np.ndarray:
        return THETA_0

    def steps(self, duration: Duration) -> int:
        return duration.amount

    def rounds(self, count: int) -> list[Fraction]:
        return schedule(self.sparsity, count)

    def train(
        self, weights, masks=None, *, first, last, optimizer="fresh", lr_at=None, frozen=False
    ) -> np.ndarray:
        if first == last:
            return weights
        if frozen:
            self.calls.append(("frozen", weights.tolist(), masks.tolist(), first, last))
            return np.where(masks, THETA_T, weights)
        kept = np.ones(5, bool) if masks is None else masks
        self.calls.append((np.where(kept, weights, 0.0).tolist(), first, last, optimizer, lr_at))
        share = last / self.total_steps
        return np.where(kept, THETA_0 + share * (THETA_T - THETA_0), 0.0)

    def difference(self, weights: np.ndarray, origin: np.ndarray) -> np.ndarray:
        return weights - origin

    def score(self, weights: np.ndarray, masks: np.ndarray | None = None) -> np.ndarray:
        return np.abs(weights)

    def prune(self, scores, target, within=None) -> np.ndarray:
        return keep_best(scores, 5 - pruned_count(5, target), within)

    def cut(self, weights, target) -> tuple[np.ndarray, np.ndarray]:
        return self.select(weights, target), weights

    def select(self, weights, target, within=None) -> np.ndarray:
        return self.prune(self.score(weights, within), target, within)

    def observe(self, moment: str, weights: np.ndarray, masks: np.ndarray) -> None:
        self.moments.append(moment)


def test_one_round_from_the_beginning_by_hand() -> None:
    """θ_T = (.1, −.5, .3, −.05, .2), 40 %: 3 and 0 go; the ticket is (0, −1, 1, 0, −1)."""
    bench = Bench()
    found = Imp(rounds=1).find(bench)
    assert found.masks.tolist() == [False, True, True, False, True]
    assert np.where(found.masks, found.start, 0).tolist() == [0, -1, 1, 0, -1]
    assert bench.calls == [
        (THETA_0.tolist(), 0, 100, "fresh", None),
        ([0, -1, 1, 0, -1], 0, 100, "fresh", None),
    ]


def test_every_round_starts_from_the_same_theta_k() -> None:
    bench = Bench(sparsity=Fraction(4, 5))
    found = Imp(rounds=4, rewind=Duration(50, "steps")).find(bench)
    theta_50 = THETA_0 + 0.5 * (THETA_T - THETA_0)
    np.testing.assert_array_equal(found.start, theta_50)
    (to_k, dense, *rounds) = bench.calls
    assert to_k == (THETA_0.tolist(), 0, 50, "fresh", None)
    assert dense == (theta_50.tolist(), 50, 100, "keep", None)
    assert len(rounds) == 4
    for start, first, last, optimizer, lr_at in rounds:
        assert all(w in (0, x) for w, x in zip(start, theta_50, strict=True))
        assert (first, last, optimizer, lr_at) == (50, 100, "fresh", None)
    assert bench.moments == [f"round {i}" for i in (1, 2, 3, 4)]
    assert int(found.masks.sum()) == 1


@pytest.mark.parametrize(("retrain", "lr_at"), [("learning_rate", None), ("finetune", 99)])
def test_learning_rate_rewinding_and_fine_tuning_keep_the_trained_weights(
    retrain: str, lr_at: int | None
) -> None:
    bench = Bench()
    found = Imp(rounds=1, rewind=Duration(20, "steps"), retrain=retrain).find(bench)
    np.testing.assert_allclose(found.start, THETA_T)
    assert bench.calls[-1][1:] == (20, 100, "fresh", lr_at)
    np.testing.assert_allclose(bench.calls[-1][0], np.where(found.masks, THETA_T, 0))


def test_keeping_the_optimizer_is_an_option() -> None:
    bench = Bench()
    Imp(rounds=1, rewind=Duration(20, "steps"), optimizer="keep").find(bench)
    assert bench.calls[-1][3] == "keep"


def test_one_shot_prunes_what_the_model_comes_with() -> None:
    bench = Bench()
    found = OneShot().find(bench)
    assert found.masks.tolist() == [True, True, True, False, False]  # ties keep the lower position
    assert bench.calls == [([1, -1, 1, 0, 0], 0, 100, "fresh", None)]
    untrained = OneShot().find(Bench(total_steps=0))
    np.testing.assert_array_equal(untrained.final, THETA_0)


def test_adaptation_by_hand() -> None:
    """θ_T - θ_0 = (-.9, .5, -.7, -1.05, 1.2), keep two of five: 4 and 3; then from θ_0 again."""
    bench = Bench(sparsity=Fraction(3, 5))
    found = Lota(calibrate=Duration(100, "steps")).find(bench)
    assert found.masks.tolist() == [False, False, False, True, True]
    assert bench.calls[0] == (THETA_0.tolist(), 0, 100, "fresh", None)
    assert bench.calls[1] == ("frozen", THETA_0.tolist(), found.masks.tolist(), 0, 100)
    assert found.final.tolist() == [1, -1, 1, -0.05, 0.2]


@dataclass
class Vectors(Bench):
    """Fine-tuning moves the weights, from 0, by a vector that is given."""

    vector: np.ndarray = field(default_factory=lambda: np.zeros(5))

    @property
    def initial(self) -> np.ndarray:
        return np.zeros(5)

    def train(self, weights, masks=None, *, first, last, frozen=False, **_) -> np.ndarray:
        assert frozen == (masks is not None)
        self.calls.append(("train", None if masks is None else masks.tolist(), first, last))
        return weights + np.where(True if masks is None else masks, self.vector, 0.0)


def test_adaptation_after_another_by_hand() -> None:
    """τ = (.5, -.1, .2, .05, -.4) keeps 0 and 4; τ' = (.9, .3, -.2, .1, .8) then 1 and 2."""
    first = Vectors(Fraction(3, 5), vector=np.array([0.5, -0.1, 0.2, 0.05, -0.4]))
    one = Lota(calibrate=Duration(10, "steps")).find(first)
    assert one.masks.tolist() == [True, False, False, False, True]
    assert first.calls[0] == ("train", None, 0, 10)

    free = ~one.masks
    second = Vectors(Fraction(3, 5), free=free, vector=np.array([0.9, 0.3, -0.2, 0.1, 0.8]))
    two = Lota(calibrate=Duration(10, "steps")).find(second)
    assert two.masks.tolist() == [False, True, True, False, False]
    assert two.final.tolist() == [0, 0.3, -0.2, 0, 0]
    assert second.calls == [
        ("train", free.tolist(), 0, 10),
        ("train", two.masks.tolist(), 0, 100),
    ]


def test_task_vector_by_hand() -> None:
    """τ = (.5, -.1, .2, .05, -.4), keep 40 %: {0, 4}."""
    scores = TaskVector().score(
        np.array([0.5, -0.1, 0.2, 0.05, -0.4]), Layer("fc", "linear", (1, 5))
    )
    assert np.flatnonzero(keep_best(scores, 2)).tolist() == [0, 4]


def test_the_registry() -> None:
    for name in METHODS:
        assert method_class(name).__doc__
