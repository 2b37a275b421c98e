"""Scores of the criteria: what is common to all, and those that look at weights alone."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from lottoc.criteria import CRITERIA, criterion_class, needs, statistic_options
from lottoc.criteria.magnitude import Magnitude
from lottoc.criteria.random import Random
from lottoc.signature import Layer
from lottoc.statistics import STATISTICS, statistic_class

FC = Layer("fc1", "linear", (2, 3))


@pytest.mark.parametrize("name", sorted(CRITERIA))
def test_every_criterion_scores_every_weight(name: str) -> None:
    weight = np.array([[-2, 0, 1], [4, -8, 16]], dtype=np.float32)
    criterion = criterion_class(name)()
    asked = needs(name)
    of_inputs = "activations" in asked and "gradients" not in asked
    shape = (3,) if of_inputs else weight.shape
    statistic = None if criterion.statistic is None else np.ones(shape)
    scores = criterion.score(weight, FC, statistic)
    assert scores.shape == weight.shape
    assert scores.dtype in (np.float32, np.float64)
    assert np.array_equal(scores, criterion.score(weight, FC, statistic))
    assert criterion == criterion_class(name)()


@pytest.mark.parametrize("name", sorted(STATISTICS))
def test_every_statistic_is_wanted_and_its_options_are_the_criterions(name: str) -> None:
    wanted = [c for c in CRITERIA if criterion_class(c).statistic == name]
    assert wanted
    statistic: Any = statistic_class(name)
    assert statistic.needs
    for criterion in wanted:
        assert needs(criterion) == statistic.needs
        assert statistic(**statistic_options(criterion, {})) is not None


def test_criteria_that_look_at_weights_alone_need_nothing() -> None:
    assert needs("magnitude") == needs("random") == frozenset()


def test_a_criterion_that_there_is_not() -> None:
    with pytest.raises(KeyError):
        criterion_class("nothing")


@pytest.mark.parametrize(
    ("dtype", "wide"),
    [
        (np.float16, np.float32),
        (ml_dtypes.bfloat16, np.float32),
        (np.float32, np.float32),
        (np.float64, np.float64),
    ],
)
def test_magnitude_is_exact_in_every_dtype(dtype: type, wide: type) -> None:
    values = [0.0, -0.0, 1.5, -1.5, -(2.0**-14), 2.0**15, -float(ml_dtypes.finfo(dtype).max)]
    values.append(float(ml_dtypes.finfo(dtype).smallest_subnormal))
    weight = np.array([values], dtype=dtype)
    scores = Magnitude().score(weight, FC)
    assert scores.dtype == wide
    assert scores.tolist() == [[abs(float(w)) for w in weight[0]]]
    assert not np.signbit(scores).any()


def test_magnitude_leaves_the_weight_alone_and_keeps_its_layout() -> None:
    weight = np.array([[-1, 2, -3], [4, -5, 6]], dtype=np.float32).T
    weight.flags.writeable = False
    scores = Magnitude().score(weight, FC)
    assert scores.tolist() == [[1, 4], [2, 5], [3, 6]]
    assert scores.flags.f_contiguous


def test_magnitude_of_a_half_makes_no_second_copy() -> None:
    weight = np.ones((1000, 1000), dtype=np.float16)
    tracemalloc.start()
    Magnitude().score(weight, FC)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2 * 4 * weight.size


def test_random_is_uniform() -> None:
    layer = Layer("fc1", "linear", (400, 500))
    scores = Random(seed=5).score(np.zeros(layer.shape, dtype=np.float32), layer)
    assert scores.min() >= 0
    assert scores.max() < 1
    counts = np.histogram(scores, bins=100, range=(0, 1))[0]
    expected = scores.size / 100
    assert ((counts - expected) ** 2 / expected).sum() < 148.2  # 99 degrees of freedom, 0.1 %
    columns = scores.mean(axis=0)
    assert np.abs(columns - 0.5).max() < 5 * (1 / 12 / 400) ** 0.5


def test_random_does_not_look_at_weights() -> None:
    weights = [np.zeros((2, 3), dtype=np.float32), np.full((2, 3), 9.0)]
    scores = [Random(seed=1).score(weight, FC) for weight in weights]
    assert np.array_equal(*scores)


def test_random_draws_differ_by_seed_and_layer() -> None:
    weight = np.zeros((60, 60), dtype=np.float32)
    draws = [
        Random(seed).score(weight, Layer(name, "linear", (60, 60))).ravel()
        for seed in (0, 1)
        for name in ("fc1", "fc2")
    ]
    assert np.abs(np.corrcoef(draws) - np.eye(4)).max() < 0.07


def test_random_is_the_same_in_every_process() -> None:
    program = (
        "import numpy as np; from lottoc.criteria.random import Random;"
        "from lottoc.signature import Layer;"
        "print(Random(3).score(np.zeros((2, 2)), Layer('fc1', 'linear', (2, 2))).tolist())"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert (
        there.stdout.decode().strip()
        == "[[0.7347261766533462, 0.3935513243947333], [0.12025828926851923, 0.35952241332278034]]"
    )
