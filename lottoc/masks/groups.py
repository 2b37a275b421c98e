"""Masks under which groups of rows share one set of columns: small dense blocks once gathered."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.masks.row_groups import Integers, Matrix, best_columns, search
from lottoc.masks.select import Bools, Scores, check_finite


def group_count(rows: int, least: int) -> int:
    """The largest divisor of `rows` that leaves at least `least` rows a group; 1 if there is none.

    So 64 fits every layer: 1000 rows make 10 groups of 100, 48 rows one group.
    """
    most = max(1, rows // least)
    return next(count for count in range(most, 0, -1) if rows % count == 0)


def keep_groups(
    scores: Scores,
    groups: int,
    kept_columns: int,
    within: Bools | None = None,
    permute: bool = True,
) -> Bools:
    """The best `kept_columns` of axis 1 for each group of rows (axis 0), as a mask of that shape.

    All rows are divided into `group_count` groups of one size, at least `groups`. A column counts
    by the sum of its scores over the group's rows, and over the kernel of a convolution, whose
    whole kernels are kept; equal sums keep the earlier column. Which rows share a group is
    searched for, and never holds less score than consecutive rows do, which is what
    `permute = False` takes.

    What is not `within` counts nothing and stays pruned. If `within` is itself such a mask, its
    groups of rows stay together and choose among their columns. Scores are of any real dtype and
    layout. Raises `NonFiniteScores`, and `ValueError` for numbers that fit no such mask.
    """
    _check(scores, groups, kept_columns, within)
    check_finite(scores)
    sums = _column_scores(scores, within)
    usable = None if within is None else within.reshape(*sums.shape, -1)
    size = sums.shape[0] // group_count(sums.shape[0], groups)
    kept = np.zeros(sums.shape, dtype=np.bool_)
    for rows in _families(usable, sums.shape[0], size):
        open_ = np.arange(sums.shape[1])
        if usable is not None:
            open_ = np.flatnonzero(usable[rows].any(axis=(0, 2)))
            if not open_.size:
                continue
        part = sums[np.ix_(rows, open_)]
        kept[np.ix_(rows, open_)] = _keep(part, size, min(kept_columns, open_.size), permute)
    mask = np.empty(scores.shape, dtype=np.bool_)
    mask[...] = kept.reshape(*kept.shape, *[1] * (scores.ndim - 2))
    return mask if within is None else mask & within


def are_groups(mask: Bools, least: int, permute: bool = True) -> bool:
    """Whether a mask is such as `keep_groups` makes, of any number of columns, for any scores."""
    rows = mask.any(axis=tuple(range(2, mask.ndim)))
    if not np.array_equal(rows, mask.all(axis=tuple(range(2, mask.ndim)))):
        return False
    if np.unique(np.count_nonzero(rows, axis=1)).size > 1:
        return False
    size = rows.shape[0] // group_count(rows.shape[0], least)
    if not permute:
        groups = rows.reshape(-1, size, rows.shape[1])
        return bool((groups == groups[:, :1]).all())
    _, counts = np.unique(np.packbits(rows, axis=1), axis=0, return_counts=True)
    return not np.any(counts % size)


def _check(scores: Scores, groups: int, kept_columns: int, within: Bools | None) -> None:
    if scores.ndim < 2 or 0 in scores.shape:
        raise ValueError(f"scores of shape {scores.shape} have no rows and columns")
    if groups < 1:
        raise ValueError(f"groups of {groups} rows hold nothing")
    if not 1 <= kept_columns <= scores.shape[1]:
        raise ValueError(f"cannot keep {kept_columns} of {scores.shape[1]} columns")
    if within is not None and within.shape != scores.shape:
        raise ValueError(f"a mask of shape {within.shape} over scores of shape {scores.shape}")


def _column_scores(scores: Scores, within: Bools | None) -> Matrix:
    """Sums over kernels, [rows, columns], in proportion: the highest score is about 1."""
    wide = scores.astype(np.float64)
    if within is not None:
        wide[~within] = 0
    _, exponent = np.frexp(np.abs(wide).max())
    np.ldexp(wide, -int(exponent), out=wide)  # exact, and no sum overflows
    sums: Any = wide.reshape(*scores.shape[:2], -1).sum(axis=2)
    return np.asarray(sums)


def _families(usable: NDArray[np.bool_] | None, rows: int, size: int) -> list[Integers]:
    """Rows that may share a group: those of equal columns, if the earlier mask is of groups."""
    everything = [np.arange(rows)]
    if usable is None or not np.array_equal(usable.any(axis=2), usable.all(axis=2)):
        return everything
    packed = np.packbits(usable.any(axis=2), axis=1)
    _, family, counts = np.unique(packed, axis=0, return_inverse=True, return_counts=True)
    if np.any(counts % size):
        return everything
    order = np.argsort(family.reshape(-1), kind="stable")
    return np.split(order, np.cumsum(counts)[:-1])


def _keep(scores: Matrix, size: int, kept: int, permute: bool) -> Bools:
    """The mask of some rows, 1 ≤ `kept` ≤ columns."""
    consecutive = np.arange(scores.shape[0])
    mask, held = _under(scores, consecutive, size, kept)
    if permute and kept < scores.shape[1]:
        searched, more = _under(scores, search(scores, size, kept), size, kept)
        if more > held:
            return searched
    return mask


def _under(scores: Matrix, order: Integers, size: int, kept: int) -> tuple[Bools, float]:
    """The best mask for rows grouped in an order, and the score that it holds."""
    sums = scores[order].reshape(-1, size, scores.shape[1]).sum(axis=1)
    chosen = best_columns(sums, kept)
    mask = np.empty(scores.shape, dtype=np.bool_)
    mask[order] = np.repeat(chosen, size, axis=0)
    return mask, float(sums[chosen].sum())
