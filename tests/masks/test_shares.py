"""Counts that scores decide, against what their definitions say in plain words."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottoc.masks.shares import RULES, error, owl


def layers(seed, count=4):
    rng = np.random.default_rng(seed)
    return [
        np.abs(rng.standard_normal((int(rng.integers(2, 9)), 8)) * 10.0 ** rng.integers(-2, 3))
        for _ in range(count)
    ]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.fractions(0, 1), st.sampled_from(sorted(RULES)))
def test_the_total_is_exact_and_no_layer_keeps_more_than_it_has(seed, density, rule):
    scores = layers(seed)
    counts = RULES[rule](scores, density)
    size = sum(layer.size for layer in scores)
    assert sum(counts) == size - int((1 - density) * size)
    assert all(0 <= count <= layer.size for count, layer in zip(counts, scores, strict=True))


def test_layers_with_outliers_keep_more_under_owl_and_within_8_percent():
    plain = np.ones((40, 50))
    spiky = np.ones((40, 50))
    spiky[:, :2] = 1000.0
    few = np.ones((40, 50))
    few[:, :1] = 1000.0
    counts = owl([plain, spiky, few], Fraction(1, 2))
    assert counts[0] < counts[2] < counts[1]
    assert sum(counts) == 3000
    densities = np.array(counts) / 2000
    assert densities.max() - densities.min() == pytest.approx(0.16, abs=0.002)
    # shares 0, 4 % and 2 %: over an interval of 16 %, around the mean
    np.testing.assert_allclose(densities, [0.42, 0.58, 0.50], atol=0.002)


def test_equal_layers_keep_the_same_under_owl():
    assert owl([np.ones((10, 10))] * 3, Fraction(3, 10)) == [30, 30, 30]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_no_other_counts_have_a_smaller_sum_of_relative_errors(seed, quarter):
    scores = layers(seed, 2)
    counts = error(scores, Fraction(quarter, 4))

    def lost(counts):
        total = 0.0
        for layer, count in zip(scores, counts, strict=True):
            squares = np.sort(np.square(layer).ravel())
            total += squares[: layer.size - count].sum() / squares.sum()
        return total

    best = min(
        lost((first, sum(counts) - first))
        for first in range(sum(counts) + 1)
        if first <= scores[0].size and 0 <= sum(counts) - first <= scores[1].size
    )
    assert lost(counts) == pytest.approx(best, rel=1e-9, abs=1e-12)


def test_scale_of_a_layer_does_not_matter_under_error():
    scores = layers(3)
    scaled = [layer * factor for layer, factor in zip(scores, (1, 100, 0.01, 7), strict=True)]
    assert error(scores, Fraction(1, 3)) == error(scaled, Fraction(1, 3))
