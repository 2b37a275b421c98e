"""Searches an order of input channels under which an N:M pattern keeps more of the scores.

An N:M mask keeps the n best of every m neighbours along axis 1; which channels are neighbours is
free as long as whoever makes them writes them in that order. The search of Pool & Yu 2021,
"Channel Permutations for N:M Sparsity" (NeurIPS), looks at exchanges between two stripes of m
channels; this one looks, for two stripes, at every way to divide their 2m channels (m ≤ 4) or at
every exchange of two channels (m > 4), for many disjoint pairs of stripes at a time, until no pair
of stripes can be divided better.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Order = NDArray[np.int64]

_CHUNK = 1 << 17
"""Numbers worked on at a time: what they need stays in the processor's caches or near."""

_LEAST = 1e-6
"""Smaller gains, relative to what is kept, are rounding."""


def retained(members: Scores, n: int) -> Scores:
    """The sum of the n largest along axis 0, of non-negative members [m, ...]."""
    m = members.shape[0]
    result: Scores
    if n == 1:
        result = members.max(axis=0)
    elif (n, m) == (2, 4):
        a, b, c, d = members
        result = np.maximum(a + b, c + d)
        result = np.maximum(result, np.maximum(a, b) + np.maximum(c, d))
    else:
        result = np.partition(members, m - n, axis=0)[m - n :].sum(axis=0)
    return result


def kept_score(scores: NDArray[np.floating], n: int, m: int, order: Order | None = None) -> float:
    """What an N:M mask keeps of [rows, channels, ...] scores, their channels put in an order."""
    matrix = _matrix(scores)
    if order is not None:
        matrix = matrix[:, order]
    stripes = matrix.reshape(matrix.shape[0], -1, m)
    total = 0.0
    for start in range(0, stripes.shape[0], rows := max(1, _CHUNK // stripes[0].size)):
        part = np.ascontiguousarray(np.moveaxis(stripes[start : start + rows], 2, 0))
        total += float(retained(part, n).sum(dtype=np.float64))
    return total


def search_order(
    scores: NDArray[np.floating], n: int, m: int, *, escapes: int = 100, seed: int = 0
) -> Order:
    """An order of channels (axis 1) whose N:M mask keeps at least what the given order keeps.

    `scores` [out, in, *kernel] are finite and not negative, with `in` a multiple of m. Stack the
    layers that read the same channels along axis 0. After the search, `escapes` random exchanges
    are tried as ways out of a local optimum. Equal inputs give equal orders. Raises `ValueError`
    if m does not divide the channels.
    """
    matrix = _matrix(scores)
    channels = matrix.shape[1]
    if channels % m:
        raise ValueError(f"{channels} channels are no multiple of m = {m}")
    if n == m or channels <= m:
        return np.arange(channels)
    return _Search(matrix, n, m, np.random.default_rng(seed)).run(escapes)


def _matrix(scores: NDArray[np.floating]) -> Scores:
    """[rows, channels]: each place of a kernel is a row of its own."""
    moved = np.moveaxis(scores, 1, -1)
    return np.ascontiguousarray(moved.reshape(-1, scores.shape[1]), dtype=np.float32)


def _divisions(m: int) -> NDArray[np.int64]:
    """Ways [d, 2m] to divide 2m channels into two stripes; the first leaves all as it is."""
    everything = tuple(range(2 * m))
    first: Iterator[tuple[int, ...]]
    if m <= 4:
        first = ((0, *rest) for rest in combinations(everything[1:], m - 1))
    else:
        kept = everything[:m]
        swaps = ((i, j) for i in range(m) for j in range(m, 2 * m))
        first = iter([kept, *(tuple(sorted({*kept, j} - {i})) for i, j in swaps)])
    rows = [(*part, *(c for c in everything if c not in part)) for part in first]
    return np.array(rows, dtype=np.int64)


class _Search:
    """Divides pairs of stripes anew until no pair that changed since can be divided better."""

    def __init__(self, matrix: Scores, n: int, m: int, rng: np.random.Generator) -> None:
        self.columns = np.ascontiguousarray(matrix.T)
        self.n, self.m, self.rng = n, m, rng
        self.stripes = np.arange(matrix.shape[1]).reshape(-1, m)
        self.divisions = _divisions(m)
        subsets, index = np.unique(
            np.sort(self.divisions.reshape(-1, m), axis=1), axis=0, return_inverse=True
        )
        self.subsets = subsets
        self.halves = index.reshape(-1, 2)
        count = len(self.stripes)
        self.gains, self.best = np.zeros((count, count)), np.zeros((count, count), np.int64)

    def run(self, escapes: int) -> Order:
        self._descend()
        self._look(np.argwhere(np.triu(np.ones_like(self.gains, np.bool_), 1)))
        self._settle()
        for _ in range(escapes):
            self._escape()
        return self.stripes.reshape(-1)

    def _look(self, pairs: Order) -> None:
        """Note the best division of each pair, and what it gains."""
        values = self._values(self.stripes[pairs].reshape(len(pairs), -1))
        best = values.argmax(axis=1)
        gains = values[np.arange(len(pairs)), best] - values[:, 0]
        self.gains[pairs[:, 0], pairs[:, 1]] = np.where(gains > _LEAST * values[:, 0], gains, 0)
        self.best[pairs[:, 0], pairs[:, 1]] = best

    def _settle(self) -> float:
        """Divide the pairs that gain most, side by side, until none gains; says what was gained."""
        total = 0.0
        while self.gains.any():
            free: NDArray[np.bool_] = np.ones(len(self.stripes), np.bool_)
            candidates = np.argwhere(self.gains > 0)
            order = np.argsort(-self.gains[tuple(candidates.T)], kind="stable")
            for first, second in candidates[order].tolist():
                if free[first] and free[second]:
                    free[first] = free[second] = False
                    total += float(self.gains[first, second])
                    division = self.divisions[self.best[first, second]]
                    members = self.stripes[[first, second]].reshape(-1)[division]
                    self.stripes[[first, second]] = members.reshape(2, self.m)
            self._look(self._pairs_with(np.flatnonzero(~free)))
        return total

    def _pairs_with(self, changed: Order) -> Order:
        touched = np.zeros(len(self.stripes), np.bool_)
        touched[changed] = True
        return np.argwhere(np.triu(touched[:, None] | touched[None, :], 1))

    def _escape(self) -> None:
        """Exchange two channels, go on from there, and come back unless that was better."""
        before = (self.stripes.copy(), self.gains.copy(), self.best.copy())
        two = self.rng.choice(len(self.stripes), 2, replace=False)
        places = self.rng.integers(self.m, size=2)
        start = self._kept(two)
        self.stripes[two, places] = self.stripes[two[::-1], places[::-1]]
        gained = self._kept(two) - start
        self._look(self._pairs_with(two))
        gained += self._settle()
        if gained <= _LEAST * start:
            self.stripes, self.gains, self.best = before

    def _kept(self, stripes: Order) -> float:
        members = np.moveaxis(self.columns[self.stripes[stripes]], 1, 0)
        return float(retained(members, self.n).sum(dtype=np.float64))

    def _descend(self) -> None:
        """Divide disjoint pairs side by side until each pair has been seen since it changed."""
        count = len(self.stripes)
        stale: NDArray[np.bool_] = np.logical_not(np.eye(count, dtype=np.bool_))
        while stale.any():
            pairs = self._matching(stale)
            better = self._divide(pairs)
            stale[pairs[:, 0], pairs[:, 1]] = stale[pairs[:, 1], pairs[:, 0]] = False
            changed = pairs[better].reshape(-1)
            stale[changed, :] = stale[:, changed] = True
            stale[changed, changed] = False

    def _matching(self, stale: NDArray[np.bool_]) -> Order:
        """Disjoint pairs of stripes that have not been looked at since one of them changed."""
        free: NDArray[np.bool_] = np.asarray(stale.any(axis=1))
        pairs = []
        for first in self.rng.permutation(np.flatnonzero(free)):
            if free[first]:
                partners = np.flatnonzero(stale[first] & free)
                partners = partners[partners != first]
                if partners.size:
                    second = partners[self.rng.integers(partners.size)]
                    pairs.append((int(first), int(second)))
                    free[first] = free[second] = False
        return np.array(pairs, dtype=np.int64).reshape(-1, 2)

    def _divide(self, pairs: Order) -> NDArray[np.bool_]:
        """Give each pair its best division; says which pairs changed."""
        members = self.stripes[pairs].reshape(len(pairs), 2 * self.m)
        values = self._values(members)
        best = values.argmax(axis=1)
        gain = values[np.arange(len(pairs)), best] - values[:, 0]
        better: NDArray[np.bool_] = gain > _LEAST * values[:, 0]
        chosen = np.take_along_axis(members, self.divisions[best], axis=1)
        self.stripes[pairs[better]] = chosen[better].reshape(-1, 2, self.m)
        return better

    def _values(self, members: Order) -> NDArray[np.float64]:
        """[pairs, divisions]: what each division of each pair keeps."""
        rows = self.columns.shape[1]
        kept = np.empty((len(members), len(self.subsets)))
        step = max(1, _CHUNK // (2 * self.m * rows))
        for start in range(0, len(members), step):
            part = self.columns[members[start : start + step]]
            kept[start : start + step] = self._subset_values(part)
        result: NDArray[np.float64] = kept[:, self.halves].sum(axis=2)
        return result

    def _subset_values(self, part: Scores) -> NDArray[np.float64]:
        """[pairs, subsets] from [pairs, 2m, rows]."""
        if (self.n, self.m) == (2, 4):
            return self._two_of_four(part)
        values = [
            retained(np.moveaxis(part[:, subset], 1, 0), self.n).sum(axis=1, dtype=np.float64)
            for subset in self.subsets
        ]
        return np.stack(values, axis=1)

    def _two_of_four(self, part: Scores) -> NDArray[np.float64]:
        """Sums and maxima of two channels are shared by all subsets that contain both."""
        both = {
            (i, j): (part[:, i] + part[:, j], np.maximum(part[:, i], part[:, j]))
            for i, j in combinations(range(8), 2)
        }
        values = np.empty((part.shape[0], len(self.subsets)))
        best, across = np.empty_like(part[:, 0]), np.empty_like(part[:, 0])
        for at, (a, b, c, d) in enumerate(self.subsets.tolist()):
            (sum_ab, max_ab), (sum_cd, max_cd) = both[a, b], both[c, d]
            np.maximum(sum_ab, sum_cd, out=best)
            np.add(max_ab, max_cd, out=across)
            np.maximum(best, across, out=best)
            values[:, at] = best.sum(axis=1)
        return values
