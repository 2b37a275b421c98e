"""Subset sums against all subsets, and the network that theory builds from them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottoc.masks.subset_sum import approximate, closest_subsets


def brute(numbers: np.ndarray, wanted: float) -> float:
    """The least distance over all subsets."""
    choices = itertools.product([False, True], repeat=len(numbers))
    return min(abs(wanted - numbers[list(c)].sum()) for c in choices)


@given(width=st.integers(0, 8), rows=st.integers(1, 5), seed=st.integers(0, 99))
def test_nothing_is_closer(width: int, rows: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    numbers, wanted = draw.uniform(-1, 1, (rows, width)), draw.uniform(-2, 2, rows)
    chosen, error = closest_subsets(numbers, wanted)
    for row in range(rows):
        assert error[row] == abs(wanted[row] - np.where(chosen[row], numbers[row], 0).sum())
        assert error[row] == pytest.approx(brute(numbers[row], wanted[row]), abs=1e-12)


def test_by_hand() -> None:
    """.5 + .25 - .1 = .65; the empty set is closest to .02."""
    numbers = np.array([[0.5, 0.25, -0.1, 0.8], [0.5, 0.25, -0.1, 0.8]])
    chosen, error = closest_subsets(numbers, np.array([0.65, 0.02]))
    assert chosen.tolist() == [[True, True, True, False], [False] * 4]
    np.testing.assert_allclose(error, [0, 0.02], atol=1e-15)


def test_many_rows_are_worked_on_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(1)
    numbers, wanted = draw.uniform(-1, 1, (50, 9)), draw.uniform(-1, 1, 50)
    whole = closest_subsets(numbers, wanted)
    monkeypatch.setattr("lottoc.masks.subset_sum._SUMS", 100)
    parts = closest_subsets(numbers, wanted)
    assert np.array_equal(whole[0], parts[0])
    assert np.array_equal(whole[1], parts[1])


def test_the_error_falls_geometrically() -> None:
    """Of 20 draws and 41 numbers in [-.5, .5] the median worst error: about e^-0.65 a number."""
    wanted, sizes = np.linspace(-0.5, 0.5, 41), np.array([6, 8, 10, 12, 14])
    errors = []
    for size in sizes:
        worst = []
        for seed in range(20):
            numbers = np.random.default_rng([seed, size]).uniform(-1, 1, size)
            worst.append(closest_subsets(np.tile(numbers, (41, 1)), wanted)[1].max())
        errors.append(np.median(worst))
    slope = np.polyfit(sizes, np.log(errors), 1)[0]
    assert -0.80 < slope < -0.50


def network(width: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    first, second = draw.uniform(-1, 1, (width, 3)), draw.uniform(-1, 1, (4, width))
    return first, second, draw.uniform(-0.5, 0.5, (4, 3))


@pytest.mark.parametrize("seed", range(3))
def test_the_pruned_network_computes_the_layer(seed: int) -> None:
    """|f(x) - Wx| ≤ ε · |x|₁ for every x, of either sign."""
    first, second, target = network(108, seed)
    found = approximate(first, second, target, 0.01)
    assert found.error <= 0.01
    assert found.width < 108
    x = np.random.default_rng(9).uniform(-1, 1, (200, 3))
    hidden = np.maximum(x @ np.where(found.first, first, 0).T, 0)
    got = hidden @ np.where(found.second, second, 0).T
    away = np.abs(got - x @ target.T)
    assert (away <= found.error * np.abs(x).sum(1, keepdims=True) + 1e-12).all()
    # the weights of x⁺ and of x⁻, computed anew
    for sign in (1, -1):
        carried = np.maximum(sign * np.where(found.first, first, 0), 0)
        assert np.abs(np.where(found.second, second, 0) @ carried - sign * target).max() <= 0.01


def test_the_width_it_takes_grows_as_the_logarithm() -> None:
    widths = []
    for epsilon in (0.1, 0.01, 0.001):
        found = [approximate(*network(108, seed), epsilon) for seed in range(3)]
        assert all(f.error <= epsilon for f in found)
        widths.append(np.mean([f.width for f in found]))
    assert widths[0] < widths[1] < widths[2] < 2.5 * widths[1]


def test_what_cannot_be_reached_is_told() -> None:
    first, second, target = network(6, 0)
    found = approximate(first, second, target, 1e-6)
    assert found.error > 1e-6
    assert found.error <= np.abs(target).max()


def test_a_target_of_zeros_takes_no_unit() -> None:
    first, second, target = network(12, 0)
    found = approximate(first, second, target * 0, 0.01)
    assert found.width == 0
    assert not found.first.any()
    assert not found.second.any()
