"""Channel orders for N:M: legal, never worse, the best there is where that can be known."""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from bounded_regression import SPLITS, BoundedRegression, kept, splits_kept

from lottoc.masks import permute
from lottoc.masks.permute import kept_score, retained, search_order, search_shared_order
from lottoc.masks.select import keep_n_of_m

PATTERNS = [(2, 4), (1, 4), (3, 4), (1, 2), (4, 8), (2, 8)]


def scores(seed: int, *shape: int) -> np.ndarray:
    return np.abs(np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize(("n", "m"), PATTERNS)
def test_what_is_retained_is_what_the_mask_keeps(n: int, m: int) -> None:
    s = scores(0, 6, 2 * m, 3, 3)
    by_mask = s[keep_n_of_m(s, n, m)].sum(dtype=np.float64)
    assert kept_score(s, n, m) == pytest.approx(by_mask, rel=1e-6)
    assert retained(s[0, :m, 0, 0][:, None], n)[0] == pytest.approx(
        np.sort(s[0, :m, 0, 0])[-n:].sum()
    )


@given(st.sampled_from(PATTERNS), st.integers(1, 6), st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_an_order_of_all_channels_that_is_never_worse(
    pattern: tuple[int, int], stripes: int, rows: int, seed: int
) -> None:
    n, m = pattern
    s = scores(seed, rows, stripes * m)
    order = search_order(s, n, m, escapes=5)
    assert sorted(order.tolist()) == list(range(stripes * m))
    assert kept_score(s, n, m, order) >= kept_score(s, n, m) * (1 - 1e-6)
    assert np.array_equal(order, search_order(s, n, m, escapes=5))


def best_of_all(s: np.ndarray) -> float:
    """2:4 over every partition of 12 channels into three stripes."""
    best, everything = 0.0, set(range(12))
    for first in combinations(range(1, 12), 3):
        rest = sorted(everything - {0, *first})
        for second in combinations(rest[1:], 3):
            third = [c for c in rest[1:] if c not in second]
            best = max(best, kept_score(s, 2, 4, np.array([0, *first, rest[0], *second, *third])))
    return best


@pytest.mark.parametrize("seed", range(4))
def test_the_best_order_of_twelve_channels(seed: int) -> None:
    s = scores(seed, 10, 12)
    assert kept_score(s, 2, 4, search_order(s, 2, 4)) == pytest.approx(best_of_all(s), rel=1e-6)


def test_channels_that_compete_are_put_apart() -> None:
    """Large channels in pairs of stripes' worth: an order that loses nothing exists."""
    s = np.full((8, 16), 0.01, np.float32)
    s[:, [0, 1, 2, 3, 4, 5, 6, 7]] = 1
    order = search_order(s, 2, 4)
    assert kept_score(s, 2, 4, order) == pytest.approx(64)
    assert kept_score(s, 2, 4) == pytest.approx(32.32)


@pytest.mark.parametrize("shape", [(32, 48), (16, 32, 3, 3)])
def test_at_least_as_good_as_the_published_search(shape: tuple[int, ...]) -> None:
    s = scores(3, *shape)
    flat = np.moveaxis(s, 1, -1).reshape(-1, shape[1])
    published = kept_score(s, 2, 4, BoundedRegression(flat).run(escapes=20))
    ours = kept_score(s, 2, 4, search_order(s, 2, 4))
    assert ours >= published
    assert published > kept_score(s, 2, 4)


def test_the_published_search_weighs_splits_rightly() -> None:
    columns = scores(5, 8, 11)
    one_by_one = [kept(columns[list(split)]) for split in SPLITS]
    assert splits_kept(columns) == pytest.approx(one_by_one, rel=1e-6)


def test_one_order_for_layers_that_read_the_same_channels() -> None:
    """The same as for the layers stacked; kernels may differ."""
    layers = [scores(1, 6, 16), scores(2, 3, 16, 3, 3)]
    stacked = np.concatenate([np.moveaxis(s, 1, -1).reshape(-1, 16) for s in layers])
    order = search_shared_order(layers, 2, 4)
    assert np.array_equal(order, search_order(stacked, 2, 4))
    with pytest.raises(ValueError, match=r"layers of \[16, 32\] channels do not read the same"):
        search_shared_order([layers[0], scores(3, 2, 32)], 2, 4)


def test_of_too_many_rows_a_sample_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """And an order that only the sample likes is not taken."""
    monkeypatch.setattr(permute, "_MOST", 16 * 40)
    s = scores(3, 80, 16)
    order = search_order(s, 2, 4)
    assert np.array_equal(order, search_order(s[::2], 2, 4))
    assert kept_score(s, 2, 4, order) > kept_score(s, 2, 4)
    s[1::2] = 0
    s[1::2, ::4] = s[1::2, 1::4] = 100  # two large ones in each stripe already
    assert np.array_equal(search_order(s, 2, 4), np.arange(16))


def test_a_kernel_is_so_many_rows() -> None:
    s = scores(1, 4, 16, 3, 3)
    flat = np.moveaxis(s, 1, -1).reshape(-1, 16)
    assert np.array_equal(search_order(s, 2, 4), search_order(flat, 2, 4))


def test_channels_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="10 channels are no multiple of m = 4"):
        search_order(scores(0, 3, 10), 2, 4)


def test_eight_channels_by_hand() -> None:
    """The best of the 35 divisions keeps 89, which is also the most that rows allow."""
    s = np.array(
        [[9, 8, 1, 7, 2, 1, 6, 0.5], [8, 9, 2, 7, 1, 3, 0.5, 6], [7, 9, 1, 8, 3, 2, 5, 1]],
        np.float32,
    )
    order = search_order(s, 2, 4)
    assert kept_score(s, 2, 4) == 76
    assert kept_score(s, 2, 4, order) == 89
    assert kept_score(s, 2, 4, np.array([0, 5, 6, 7, 1, 2, 3, 4])) == 89
