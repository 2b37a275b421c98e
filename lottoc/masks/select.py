"""Exact selection of the best scores, with one tie rule: equal scores keep the lower position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[Any]
Bools = NDArray[np.bool_]


class NonFiniteScores(ValueError):
    """A score is NaN or infinite; `layer` is its position among the layers ranked together."""

    def __init__(self, layer: int, index: tuple[int, ...], value: float) -> None:
        super().__init__(f"{value} at {list(index)}")
        self.position = layer


def _check_finite(scores: Scores, layer: int = 0) -> None:
    finite = np.isfinite(scores)
    if not finite.all():
        index = np.unravel_index(int(np.argmin(finite)), scores.shape)
        raise NonFiniteScores(layer, tuple(map(int, index)), float(scores[index]))


def keep_best(scores: Scores, kept: int, within: Bools | None = None) -> Bools:
    """The `kept` highest scores among those `within`."""
    (mask,) = keep_best_global([scores], kept, None if within is None else [within])
    return mask


def keep_best_global(
    scores: Sequence[Scores], kept: int, within: Sequence[Bools] | None = None
) -> list[Bools]:
    """The `kept` highest scores of several layers together; ties keep the earlier layer."""
    for position, layer in enumerate(scores):
        _check_finite(layer, position)
    if within is None:
        candidates = np.concatenate([layer.reshape(-1) for layer in scores])
    else:
        pairs = zip(scores, within, strict=True)
        candidates = np.concatenate([layer[mask] for layer, mask in pairs])
    available = candidates.size
    if not 0 <= kept <= available:
        raise ValueError(f"cannot keep {kept} of {available} weights")
    if kept == 0:
        return [np.zeros(layer.shape, dtype=np.bool_) for layer in scores]
    candidates.partition(available - kept)
    threshold = candidates[available - kept]
    del candidates
    return _above(scores, within, threshold, kept)


def _above(
    scores: Sequence[Scores], within: Sequence[Bools] | None, threshold: Any, kept: int
) -> list[Bools]:
    """Everything above the threshold, and as many at it as are missing, in order."""
    masks, ties = [], []
    for position, layer in enumerate(scores):
        above = np.greater(layer, threshold, order="C")
        tied = np.equal(layer, threshold, order="C")
        if within is not None:
            above &= within[position]
            tied &= within[position]
        masks.append(above)
        ties.append(np.flatnonzero(tied))
    missing = kept - sum(int(np.count_nonzero(mask)) for mask in masks)
    for mask, tied in zip(masks, ties, strict=True):
        taken = tied[:missing]
        mask.reshape(-1)[taken] = True
        missing -= taken.size
    return masks


def keep_n_of_m(scores: Scores, n: int, m: int, within: Bools | None = None) -> Bools:
    """The `n` highest of every `m` consecutive scores along axis 1 (the reduction dimension)."""
    if scores.ndim < 2 or scores.shape[1] % m:
        length = scores.shape[1] if scores.ndim > 1 else 0
        raise ValueError(f"axis 1 has length {length}, not a multiple of m = {m}")
    _check_finite(scores)
    mask = np.empty(scores.shape, dtype=np.bool_)
    rows = max(1, (1 << 18) // max(1, scores[0].size))  # a chunk of rows stays in cache
    for start in range(0, scores.shape[0], rows):
        chunk = slice(start, start + rows)
        part = scores[chunk]
        if within is not None:
            part = np.where(within[chunk], part, -np.inf)
        mask[chunk] = _ranked(part, n, m)
    if within is not None:
        mask &= within
    return mask


def _ranked(scores: Scores, n: int, m: int) -> Bools:
    shape = (scores.shape[0], scores.shape[1] // m, m, *scores.shape[2:])
    columns = [scores.reshape(shape)[:, :, i] for i in range(m)]
    result = np.empty(shape, dtype=np.bool_)
    ranks = [np.zeros(columns[0].shape, dtype=np.uint8) for _ in range(m)]
    for i in range(m):
        for j in range(i + 1, m):
            first_wins = columns[i] >= columns[j]  # a tie keeps the lower position
            ranks[j] += first_wins
            ranks[i] += ~first_wins
    for i in range(m):
        np.less(ranks[i], n, out=result[:, :, i])
    return result.reshape(scores.shape)
