"""Rows and blocks: which units are kept, against exact arithmetic and one rule read slowly."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottoc.masks.patterns import parse
from lottoc.masks.patterns.tiles import Tiles
from lottoc.masks.select import Bools, NonFiniteScores
from lottoc.masks.units import keep_units, unit_means

Unit = tuple[int, int, int]
"""Layer, tile down, tile across."""


def tiles(text: str) -> Tiles:
    pattern = parse(text)
    assert isinstance(pattern, Tiles)
    return pattern


def slowly(
    scores: list[np.ndarray], pattern: Tiles, kept: int, within: list[Bools] | None
) -> list[Bools]:
    """Every unit's exact mean; the best of each layer, then the best of all until it is enough."""
    ranked: list[tuple[Fraction, Unit]] = []
    for layer, values in enumerate(scores):
        rows, columns = pattern.tile(values.shape)
        for i in range(values.shape[0] // rows):
            for j in range(values.shape[1] // columns):
                where = np.s_[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]
                if within is None or within[layer][where].all():
                    exact = [Fraction(float(v)) for v in values[where].ravel()]
                    ranked.append((-sum(exact, Fraction()) / len(exact), (layer, i, j)))
    ranked.sort()
    best = [next(u for _, u in ranked if u[0] == layer) for layer in range(len(scores))]
    masks = [np.zeros(values.shape, np.bool_) for values in scores]
    for unit in [*best, *(unit for _, unit in ranked if unit not in best)]:
        if unit not in best and sum(int(m.sum()) for m in masks) >= kept:
            break
        layer, i, j = unit
        rows, columns = pattern.tile(scores[layer].shape)
        masks[layer][i * rows : (i + 1) * rows, j * columns : (j + 1) * columns] = True
    return masks


@given(st.data(), st.sampled_from(["rows", "block(2, 1)", "block(1, 3)", "block(2, 3)"]))
def test_together_is_what_it_says(data: st.DataObject, text: str) -> None:
    pattern = tiles(text)
    few = st.integers(1, 3)
    shapes = [
        (2 * data.draw(few), 3 * data.draw(few), *data.draw(st.sampled_from([(), (2,), (3, 3)])))
        for _ in range(data.draw(few))
    ]
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    most = data.draw(st.sampled_from([2, 4, 1000]))
    scores = [random.integers(-most, most, size=s).astype(np.float32) for s in shapes]
    within = None
    if data.draw(st.booleans()):
        within = [random.random(s) < 0.98 for s in shapes]
        for mask in within:
            rows, columns = pattern.tile(mask.shape)
            mask[:rows, :columns] = True
    available = sum(map(math.prod, shapes))
    kept = data.draw(st.integers(0, available))
    try:
        masks = list(pattern.keep_together(scores, kept, within))
    except ValueError:
        assert within is not None
        assert sum(m.sum() for m in slowly(scores, pattern, kept, within)) < kept
        return
    for mask, expected in zip(masks, slowly(scores, pattern, kept, within), strict=True):
        assert np.array_equal(mask, expected)
        assert pattern.holds(mask)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["float16", "float32", "float64"]))
def test_one_layer_by_itself(seed: int, dtype: str) -> None:
    """Units of one size: the highest sums, whatever the layout."""
    random = np.random.default_rng(seed)
    scores = random.integers(0, 4, size=(6, 4, 3)).astype(dtype)
    sums = scores.reshape(3, 2, 4, 3).sum(axis=(1, 3))
    order = sorted(range(12), key=lambda unit: (-sums.reshape(-1)[unit], unit))
    chosen = np.zeros(12, np.bool_)
    chosen[order[:5]] = True
    expected = np.repeat(np.repeat(chosen.reshape(3, 4, 1), 3, axis=2), 2, axis=0)
    mask = keep_units(scores, (2, 1), 5)
    assert np.array_equal(mask, expected)
    assert np.array_equal(keep_units(np.asfortranarray(scores), (2, 1), 5), expected)


def test_a_mean_favours_no_fan_in() -> None:
    """Rows of 100 weights of score 1 against rows of 2 of score 1.5: sums would keep the first."""
    wide, narrow = np.ones((2, 100)), np.full((50, 2), 1.5)
    first, second = tiles("rows").keep_together([wide, narrow], 150)
    assert first.sum() == 100  # one row stays in any case
    assert second.sum() == 50


def test_means_of_equal_numbers_are_equal_however_many() -> None:
    """49 · (1/49) is not 1 in float64; a mean has to be."""
    for weights in range(1, 400):
        assert unit_means(np.ones((1, weights), np.float32), (1, weights)) == 1


def test_no_sum_overflows_and_chunks_do_not_show() -> None:
    huge = np.full((3, 1000), 1.7e308)
    huge[1] /= 2
    assert np.allclose(unit_means(huge, (1, 1000)).ravel() / 1.7e308, [1, 0.5, 1])
    random = np.random.default_rng(0)
    scores = random.random((700, 900), dtype=np.float32)
    means = unit_means(scores, (2, 3))
    exact = scores.astype(np.float64).reshape(350, 2, 300, 3).mean(axis=(1, 3))
    assert np.allclose(means, exact, rtol=1e-14)


def test_what_is_refused() -> None:
    scores = np.ones((4, 2), np.float32)
    broken = scores.copy()
    broken[2, 1] = np.nan
    with pytest.raises(NonFiniteScores) as caught:
        list(tiles("rows").keep_together([scores, broken], 4))
    assert caught.value.position == 1
    with pytest.raises(ValueError, match="cannot keep 3 of 2 units"):
        keep_units(scores, (2, 2), 3)
    within = np.ones((4, 2), np.bool_)
    within[0, 1] = False  # a row in part is not there to keep
    with pytest.raises(ValueError, match="cannot keep 4 of 3 units"):
        keep_units(scores, (1, 2), 4, within)
    with pytest.raises(ValueError, match="cannot keep 7 of 6 weights"):
        list(tiles("rows").keep_together([scores], 7, [within]))
    within[:, 1] = False
    with pytest.raises(ValueError, match="leaves a layer no whole unit"):
        list(tiles("rows").keep_together([scores], 1, [within]))
    with pytest.raises(ValueError, match="a mask of shape"):
        keep_units(scores, (1, 2), 1, within.T)
