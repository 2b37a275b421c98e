"""Masks under which every row keeps as many weights: constant fan-in."""

from __future__ import annotations

import math

import numpy as np

from lottoc.masks.select import Bools, Scores, check_finite, wide

_CHUNK = 1 << 18
"""Scores ranked together."""


def keep_per_row(scores: Scores, kept: int, within: Bools | None = None) -> Bools:
    """The `kept` highest scores of each row (of axis 0); equal scores keep the lower position.

    A row with fewer scores `within` keeps them all. Dtypes, layout and `NonFiniteScores` are as in
    `keep_best`; raises `ValueError` unless a row has at least `kept` places.
    """
    places = math.prod(scores.shape[1:])
    if not 0 <= kept <= places:
        raise ValueError(f"cannot keep {kept} of {places} weights a row")
    if within is not None and within.shape != scores.shape:
        raise ValueError(f"a mask of shape {within.shape} over scores of shape {scores.shape}")
    check_finite(scores)
    mask = np.empty_like(scores, dtype=np.bool_, subok=False)
    step = max(1, _CHUNK // max(1, places))
    for start in range(0, scores.shape[0], step):
        part = scores[start : start + step]
        rows = part.astype(wide(scores), order="C").reshape(part.shape[0], places)
        if within is not None:
            rows[~within[start : start + step].reshape(rows.shape)] = -np.inf
        mask[start : start + step] = _best(rows, kept).reshape(part.shape)
    return mask if within is None else mask & within


def _best(rows: Scores, kept: int) -> Bools:
    """All from each row's threshold on, but for the last so many at it as are too many."""
    if kept == 0:
        return np.zeros(rows.shape, dtype=np.bool_)
    rank = rows.shape[1] - kept
    threshold = np.partition(rows, rank, axis=1)[:, rank : rank + 1]
    best = rows >= threshold
    extra = np.count_nonzero(best, axis=1) - kept
    for row in np.flatnonzero(extra):  # scores that are equal are rare, but for zeros
        tied = np.flatnonzero(rows[row] == threshold[row])
        best[row, tied[len(tied) - extra[row] :]] = False
    return best


def are_per_row(mask: Bools) -> bool:
    """Whether every row keeps as many weights."""
    counts = np.count_nonzero(mask.reshape(mask.shape[0], -1), axis=1)
    return bool((counts == counts[:1]).all())
