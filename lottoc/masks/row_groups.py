"""Searches which rows of a matrix of scores go together, so that few columns a group hold the most.

All numbers here are integers in float64 and every sum of them is exact, so that the order in which
a BLAS adds does not matter: the same groups are found on every machine.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Integers = NDArray[np.intp]

_TOGETHER = 64
"""Groups searched together; the cost of a search grows with their number."""
_FIRST, _MORE = 3, 12
"""Rounds of improvement of every start, and of the best of them."""


def search(scores: Matrix, size: int, kept: int) -> Integers:
    """An order of the rows of `scores` [n, K], all finite: every `size` of them are one group.

    What counts is the sum over groups of the `kept` highest column sums. Alternates between the
    best columns for given groups and better groups for given columns (as Lloyd's k-means does),
    under equal capacity; starts are the order given, the rows along their principal component,
    and far seeds. `size` divides n.
    """
    rows = scores.shape[0]
    if size in (1, rows) or not scores.any():
        return np.arange(rows)
    return _search(_integers(scores), size, kept)


def _integers(scores: Matrix) -> Matrix:
    """Scores in proportion, as integers so small that all of them add up below 2^53."""
    bits = 52 - math.ceil(math.log2(scores.size))
    _, exponent = np.frexp(np.abs(scores).max())
    return np.rint(np.ldexp(scores, bits - int(exponent)))


def _search(scores: Matrix, size: int, kept: int) -> Integers:
    rows = scores.shape[0]
    if rows > _TOGETHER * size:
        order = _principal(scores)
        parts = np.split(order, range(_TOGETHER * size, rows, _TOGETHER * size))
        return np.concatenate([part[_search(scores[part], size, kept)] for part in parts])
    groups = Groups(scores, size, kept)
    starts = [np.arange(rows) // size, groups.along(_principal(scores)), groups.seeded()]
    found = [groups.improve(start, _FIRST) for start in starts]
    best = max(found, key=groups.retained)
    return np.argsort(groups.improve(best, _MORE), kind="stable")


def _principal(scores: Matrix) -> Integers:
    """Rows sorted along the first principal component of the scores, by eight power steps.

    Rounding to a few digits after each step makes it independent of how a BLAS adds.
    """
    mean = scores.mean(axis=0)
    direction = np.rint((scores.max(axis=0) - mean) * 2.0**-10)
    for _ in range(8):
        places = scores @ direction - mean @ direction
        places = np.round(places / (np.abs(places).max() or 1.0), 6)
        direction = places @ scores - places.sum() * mean
        direction = np.round(direction / (np.abs(direction).max() or 1.0), 6)
    return np.argsort(places, kind="stable")


class Groups:
    """Assignments of rows to groups of equal size, each written as one group number a row."""

    def __init__(self, scores: Matrix, size: int, kept: int) -> None:
        self.scores, self.size, self.kept = scores, size, kept
        self.count = scores.shape[0] // size

    def along(self, order: Integers) -> Integers:
        """Groups of rows that follow each other in an order."""
        labels = np.empty_like(order)
        labels[order] = np.arange(order.size) // self.size
        return labels

    def seeded(self) -> Integers:
        """Each group around a seed's columns; a seed is the row that those before serve worst."""
        own = np.partition(self.scores, -self.kept, axis=1)[:, -self.kept :].sum(axis=1)
        gains = np.empty((own.size, self.count))
        served = np.zeros_like(own)
        for group in range(self.count):
            seed = int(np.argmax(own - served))
            gains[:, group] = self.scores @ best_columns(self.scores[seed], self.kept)
            served = gains[:, : group + 1].max(axis=1)
        return assign(gains, self.size)

    def columns(self, labels: Integers) -> tuple[Matrix, float]:
        """The best columns of each group, [groups, K] of 0 and 1, and the score that they hold."""
        members = (labels == np.arange(self.count)[:, None]).astype(np.float64)
        sums = members @ self.scores
        chosen = best_columns(sums, self.kept)
        return chosen.astype(np.float64), float(sums[chosen].sum())

    def retained(self, labels: Integers) -> float:
        """The score that the groups hold in their best columns."""
        return self.columns(labels)[1]

    def improve(self, labels: Integers, rounds: int) -> Integers:
        """Groups that hold at least as much, after at most so many rounds."""
        rows = np.arange(labels.size)
        for _ in range(rounds):
            gains = self.scores @ self.columns(labels)[0].T
            anew = assign(gains, self.size)
            better = gains[rows, anew].sum() > gains[rows, labels].sum()
            after = exchange(gains, anew if better else labels)
            if gains[rows, after].sum() <= gains[rows, labels].sum():
                break
            labels = after
        return labels


def best_columns(sums: Matrix, kept: int) -> NDArray[np.bool_]:
    """The `kept` highest along the last axis; ties keep the lower position."""
    order = np.argsort(-sums, axis=-1, kind="stable")[..., :kept]
    chosen = np.zeros(sums.shape, dtype=np.bool_)
    np.put_along_axis(chosen, order, True, axis=-1)
    return chosen


def assign(gains: Matrix, size: int) -> Integers:
    """Rows to groups of `size` each, greedily for [rows, groups] gains.

    Every row asks for its best group that is not full; a group with too many takes those that
    would lose the most by going to their second best.
    """
    labels = np.full(gains.shape[0], -1)
    free = np.full(gains.shape[1], size)
    while (rows := np.flatnonzero(labels < 0)).size:
        left = np.where(free > 0, gains[rows], -np.inf)
        wanted = left.argmax(axis=1)
        regret = _regret(left)
        queue = np.lexsort((-regret, wanted))
        groups = wanted[queue]
        place = np.arange(queue.size) - np.searchsorted(groups, groups)
        taken = place < free[groups]
        labels[rows[queue[taken]]] = groups[taken]
        free -= np.bincount(groups[taken], minlength=free.size)
    return labels


def _regret(gains: Matrix) -> Matrix:
    if gains.shape[1] == 1:
        return np.zeros(gains.shape[0])
    two = np.partition(gains, -2, axis=1)[:, -2:]
    regret: Any = two[:, 1] - two[:, 0]
    return np.asarray(regret)


def exchange(gains: Matrix, labels: Integers) -> Integers:
    """Swap rows between any two groups as long as both together gain; one pass over the pairs."""
    members = np.argsort(labels, kind="stable").reshape(gains.shape[1], -1)
    moves = (gains - gains[np.arange(labels.size), labels][:, None])[members].max(axis=1)
    for g, h in np.argwhere(np.triu(moves + moves.T, 1) > 0):
        there = gains[members[g], h] - gains[members[g], g]
        back = gains[members[h], g] - gains[members[h], h]
        out, into = np.argsort(-there, kind="stable"), np.argsort(-back, kind="stable")
        count = int(np.count_nonzero(there[out] + back[into] > 0))
        i, j = out[:count], into[:count]
        members[g, i], members[h, j] = members[h, j], members[g, i]
    result = np.empty_like(labels)
    result[members] = np.arange(gains.shape[1])[:, None]
    return result
