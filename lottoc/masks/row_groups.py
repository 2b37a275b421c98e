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
_FIRST, _MORE = 2, 8
"""Rounds of improvement of every start, and of the best of them."""
_TRIED = 16
"""Rows a group that are looked at for seeds."""


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
    return _rounded(scores, 52 - math.ceil(math.log2(scores.size)))


def _search(scores: Matrix, size: int, kept: int) -> Integers:
    rows = scores.shape[0]
    if rows > _TOGETHER * size:
        order = _principal(scores)
        parts = np.split(order, range(_TOGETHER * size, rows, _TOGETHER * size))
        return np.concatenate([part[_search(scores[part], size, kept)] for part in parts])
    groups = Groups(scores, size, kept)
    starts = [np.arange(rows) // size, groups.along(_principal(scores)), groups.seeded()]
    found = [groups.improve(start, _FIRST) for start in starts]
    _, best = max(found, key=lambda result: result[0])
    _, labels = groups.improve(best, _MORE)
    return np.argsort(labels, kind="stable")


def _principal(scores: Matrix) -> Integers:
    """Rows sorted along about the first principal component of the scores, by eight power steps.

    Scores of 16 bits and directions of 12 keep every product's sum below 2^53 for 2^25 rows.
    """
    coarse = _rounded(scores, 16)
    mean = np.rint(coarse.mean(axis=0))
    direction = _rounded(coarse.max(axis=0) - mean, 12)
    for _ in range(8):
        places = _rounded(coarse @ direction - mean @ direction, 12)
        direction = _rounded(places @ coarse - places.sum() * mean, 12)
    return np.argsort(places, kind="stable")


def _rounded(numbers: Matrix, bits: int) -> Matrix:
    """Numbers in proportion as integers of so many bits."""
    _, exponent = np.frexp(max(numbers.max(), -numbers.min()))
    result = np.ldexp(numbers, bits - int(exponent))
    return np.rint(result, out=result)


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
        rows = self.scores[_scattered(self.scores.shape[0], _TRIED * self.count)]
        own = np.partition(rows, -self.kept, axis=1)[:, -self.kept :].sum(axis=1)
        chosen = np.empty((self.count, rows.shape[1]))
        served = np.zeros_like(own)
        for group in range(self.count):
            seed = int(np.argmax(own - served))
            chosen[group] = best_columns(rows[seed], self.kept)
            served = np.maximum(served, rows @ chosen[group])
        return assign(self.scores @ chosen.T, self.size)

    def columns(self, labels: Integers) -> tuple[Matrix, float]:
        """The best columns of each group, [groups, K] of 0 and 1, and the score that they hold."""
        members = np.argsort(labels, kind="stable").reshape(self.count, self.size)
        sums = np.stack([self.scores[rows].sum(axis=0) for rows in members])
        chosen = best_columns(sums, self.kept)
        return chosen.astype(np.float64), float(sums[chosen].sum())

    def improve(self, labels: Integers, rounds: int) -> tuple[float, Integers]:
        """Groups that hold at least as much, after at most so many rounds, and what they hold."""
        rows = np.arange(labels.size)
        columns, held = self.columns(labels)
        for _ in range(rounds):
            gains = self.scores @ columns.T
            anew = assign(gains, self.size)
            after = exchange(gains, anew if gains[rows, anew].sum() > held else labels)
            if gains[rows, after].sum() <= held:
                break
            labels = after
            columns, held = self.columns(labels)
        return held, labels


def _scattered(rows: int, most: int) -> Integers:
    """Up to so many rows from everywhere, following no rhythm (Knuth's multiplicative hash)."""
    if rows <= most:
        return np.arange(rows)
    return np.unique((np.arange(most) * 2654435761 % 2**32) * rows >> 32)


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
