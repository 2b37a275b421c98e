"""Constant fan-in against each row sorted by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottoc.masks.fanin import keep_per_row
from lottoc.masks.select import NonFiniteScores


@given(st.data(), st.sampled_from(["float16", "float32", "float64"]), st.sampled_from("CF"))
def test_each_row_keeps_its_best(data: st.DataObject, dtype: str, order: str) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shape = data.draw(st.sampled_from([(1, 1), (5, 7), (3, 4, 2), (2, 3, 3, 3)]))
    scores = random.integers(-3, data.draw(st.sampled_from([-1, 3, 900])), size=shape)
    values = np.asarray(scores, dtype=dtype, order=order)  # type: ignore[call-overload]
    within = random.random(shape) < 0.7 if data.draw(st.booleans()) else None
    places = values[0].size
    kept = data.draw(st.integers(0, places))
    mask = keep_per_row(values, kept, within)
    assert mask.shape == shape
    for row in range(shape[0]):
        there = range(places) if within is None else np.flatnonzero(within[row]).tolist()
        flat = scores[row].ravel()
        best = sorted(there, key=lambda place: (-int(flat[place]), place))[:kept]
        assert np.flatnonzero(mask[row]).tolist() == sorted(best)


def test_many_rows_are_ranked_piece_by_piece() -> None:
    scores = np.random.default_rng(0).random((3000, 500), dtype=np.float32)
    mask = keep_per_row(scores, 50)
    assert (mask.sum(axis=1) == 50).all()
    lowest = np.where(mask, scores, np.inf).min(axis=1)
    assert (lowest > np.where(mask, -np.inf, scores).max(axis=1)).all()


def test_what_is_refused() -> None:
    scores = np.ones((4, 2), np.float32)
    with pytest.raises(ValueError, match="cannot keep 3 of 2 weights a row"):
        keep_per_row(scores, 3)
    with pytest.raises(ValueError, match="a mask of shape"):
        keep_per_row(scores, 1, np.ones((2, 4), np.bool_))
    scores[3, 0] = np.inf
    with pytest.raises(NonFiniteScores):
        keep_per_row(scores, 1)
