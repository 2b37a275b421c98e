"""Which connections go and which come: by hand, and against a search one weight at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottoc.masks.regrow import alive_rows, cosine, cubic, dropped, swap, swap_rows
from lottoc.masks.select import NonFiniteScores


def test_drop_and_grow_by_hand() -> None:
    """m = 11110000, half of four go: 0 and 2 stay; 5 and 3 have the largest gradients."""
    weights = np.array([0.9, -0.1, 0.5, 0.05, 0, 0, 0, 0])
    mask = np.array([1, 1, 1, 1, 0, 0, 0, 0], bool)
    growth = np.abs([0, 0.3, 0.1, 0.8, 0.7, -0.9, 0.2, 0.05])
    moved = swap(weights, mask, growth, 2)
    assert moved.astype(int).tolist() == [1, 0, 1, 1, 0, 1, 0, 0]


def test_share_along_a_cosine() -> None:
    shares = [cosine(0.3, step, 25_000) for step in (0, 6250, 12_500, 18_750, 25_000)]
    np.testing.assert_allclose(shares, [0.3, 0.256066, 0.15, 0.043934, 0], atol=5e-7)


def test_sparsity_along_a_cubic() -> None:
    assert [cubic(0.9, t, 0, 100) for t in (0, 100, 200)] == [0, 0.9, 0.9]
    assert cubic(0.9, 50, 0, 100) == pytest.approx(0.9 * (1 - 0.125))
    assert cubic(0.9, 40, 20, 100) == pytest.approx(0.9 * (1 - 0.75**3))
    assert cubic(0.9, 10, 20, 100) == 0


def by_search(weights, mask, growth, drops: int) -> list[bool]:
    """The rule as a person would follow it: one weight at a time."""
    kept = sorted(np.flatnonzero(mask), key=lambda i: (-abs(weights[i]), i))
    stay = set(kept[: len(kept) - drops])
    for _ in range(drops):
        rest = [i for i in range(len(mask)) if i not in stay and growth[i] > 0]
        if rest:
            stay.add(min(rest, key=lambda i: (-growth[i], i)))
        else:
            stay.add(next(i for i in kept if i not in stay))
    return [i in stay for i in range(len(mask))]


FEW = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])


@st.composite
def layers(draw: st.DrawFn, rows: int = 1):
    size = draw(st.integers(1, 12))
    count = size * rows
    weights = np.array(draw(st.lists(FEW, min_size=count, max_size=count)))
    mask = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    growth = np.abs(draw(st.lists(FEW, min_size=count, max_size=count)))
    drops = draw(st.integers(0, int(mask.sum())))
    shape = (rows, size)
    return (weights * mask).reshape(shape), mask.reshape(shape), growth.reshape(shape), drops


@given(layers())
def test_swap_is_the_search(layer) -> None:
    weights, mask, growth, drops = layer
    moved = swap(weights, mask, growth, drops)
    assert moved[0].tolist() == by_search(weights[0], mask[0], growth[0], drops)
    assert moved.sum() == mask.sum()


@given(layers())
def test_one_row_of_constant_fan_in_is_a_swap(layer) -> None:
    weights, mask, growth, drops = layer
    moved = swap_rows(weights, mask, growth, drops, int(mask.sum()), np.array([True]))
    assert np.array_equal(moved, swap(weights, mask, growth, drops))


@given(layers(rows=4), st.data())
def test_every_living_row_keeps_the_same_count(layer, data) -> None:
    weights, mask, growth, drops = layer
    alive = np.array(data.draw(st.lists(st.booleans(), min_size=4, max_size=4)))
    fan_in = data.draw(st.integers(0, mask.shape[1]))
    moved = swap_rows(weights, mask, growth, drops, fan_in, alive)
    assert moved.sum(axis=1).tolist() == [fan_in if lives else 0 for lives in alive]


@given(layers())
def test_what_no_gradient_asks_for_is_not_swapped(layer) -> None:
    weights, mask, growth, drops = layer
    assert np.array_equal(swap(weights, mask, np.zeros_like(growth), drops), mask)


def test_a_row_with_too_many_loses_its_lowest_magnitudes() -> None:
    """Not those that come first, as sorting a row of truth values would have it."""
    weights = np.array([[1.0, 4.0, 3.0, 2.0, 0.0], [0.5, 0.4, 0.0, 0.0, 0.0]])
    growth = np.array([[0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 2.0]])
    moved = swap_rows(weights, weights != 0, growth, 2, 3, np.array([True, True]))
    assert moved.astype(int).tolist() == [[0, 1, 1, 1, 0], [1, 0, 0, 1, 1]]


@pytest.mark.parametrize(("dead", "fan_in"), [(0, 57), (8, 65), (16, 76), (32, 115)])
def test_fan_in_grows_as_neurons_die(dead: int, fan_in: int) -> None:
    """64×576 at 90 %: ⌊0.1 · 36864⌋ = 3686 weights over the rows that live; never above a tenth."""
    stream = np.random.default_rng(0)
    mask = np.zeros((64, 576), bool)
    mask[:, :57] = True
    weights = np.where(mask, stream.normal(size=mask.shape), 0)
    weights[:dead] *= 1e-6
    growth = np.zeros(mask.shape)
    growth[dead:] = stream.random((64 - dead, 576))
    drops = dropped(mask, 0.5)
    alive = alive_rows(weights, mask, growth, drops, 3686, 0.5)
    assert int((~alive).sum()) == dead
    found = min(576, 3686 // int(alive.sum()))
    moved = swap_rows(weights, mask, growth, drops, found, alive)
    assert found == fan_in
    assert set(moved.sum(axis=1).tolist()) <= {fan_in, 0}
    assert moved.mean() <= 0.1


def test_enough_rows_live_to_hold_the_budget() -> None:
    weights = np.zeros((8, 4))
    weights[0] = [4, 3, 2, 1]
    mask = np.zeros((8, 4), bool)
    mask[:, :2] = True
    alive = alive_rows(weights, mask, np.zeros_like(weights), 0, 16, 1.0)
    assert alive.sum() >= 4


def test_dropped_is_rounded_down() -> None:
    assert dropped(np.ones(7, bool), 0.3) == math.floor(2.1)


def test_numbers_that_are_none_are_refused() -> None:
    mask = np.array([[True, True, False]])
    for bad in (np.nan, np.inf):
        with pytest.raises(NonFiniteScores):
            swap(np.array([[bad, 1, 0]]), mask, np.ones((1, 3)), 1)
        with pytest.raises(NonFiniteScores):
            swap(np.array([[1.0, 1, 0]]), mask, np.array([[1, 1, bad]]), 1)
