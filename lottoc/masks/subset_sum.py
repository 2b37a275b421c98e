"""Subset sums: which of some random numbers add up to a given one, exactly the closest choice.

Source: Pensia, Rajput, Nagle, Vishwakarma, Papailiopoulos 2020, "Optimal Lottery Tickets via Subset
Sum: Logarithmic Over-Parameterization is Sufficient", §3; meeting in the middle is Horowitz & Sahni
1974, "Computing Partitions with Applications to the Knapsack Problem".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lottoc.masks.select import Bools

MOST = 20
"""So many numbers are chosen from at most: 2¹⁰ sums a half."""
_SUMS = 1 << 22
"""Sums held at once."""

Numbers = NDArray[np.float64]


def closest_subsets(numbers: Numbers, wanted: Numbers) -> tuple[Bools, Numbers]:
    """For each row of `numbers` [p, n] the subset whose sum is closest to `wanted` [p].

    Gives the choice [p, n] and how far its sum is away [p]. Of equally close subsets one with the
    fewest late numbers is taken. Work and memory grow as 2^(n/2); n is at most `MOST`.
    """
    count, width = numbers.shape
    assert width <= MOST
    chosen, error = np.zeros((count, width), dtype=np.bool_), np.empty(count)
    rows = max(1, _SUMS >> -(-width // 2))
    for first in range(0, count, rows):
        part = slice(first, first + rows)
        chosen[part], error[part] = _closest(numbers[part], wanted[part])
    return chosen, error


def _closest(numbers: Numbers, wanted: Numbers) -> tuple[Bools, Numbers]:
    """All sums of one half, sorted; for each sum of the other the two nearest to the rest."""
    half = numbers.shape[1] // 2
    left, right = _sums(numbers[:, :half]), _sums(numbers[:, half:])
    order = np.argsort(left, axis=1, kind="stable")
    left, rest = np.take_along_axis(left, order, 1), wanted[:, None] - right
    # rows are kept apart by shifting them, so that one search does for all
    span = 1 + 2 * max(np.abs(left).max(), np.abs(rest).max())
    shift = span * np.arange(len(left))[:, None]
    found = np.searchsorted((left + shift).ravel(), (rest + shift).ravel())
    place = found.reshape(rest.shape) - left.shape[1] * np.arange(len(left))[:, None]
    best: tuple[NDArray[np.intp], Numbers] | None = None
    for near in (place - 1, place):
        near = np.clip(near, 0, left.shape[1] - 1)
        away = np.abs(rest - np.take_along_axis(left, near, 1))
        if best is not None:
            near, away = np.where(away < best[1], near, best[0]), np.minimum(away, best[1])
        best = near, away
    assert best is not None
    second = best[1].argmin(1)
    rows = np.arange(len(left))
    first = order[rows, best[0][rows, second]]
    bits = [
        first[:, None] >> np.arange(half),
        second[:, None] >> np.arange(numbers.shape[1] - half),
    ]
    chosen = np.concatenate(bits, axis=1) & 1 > 0
    return chosen, np.abs(wanted - np.where(chosen, numbers, 0).sum(1))


def _sums(numbers: Numbers) -> Numbers:
    """The sums of all subsets [p, 2^n]; bit i of a column's number says whether i is in."""
    sums = np.zeros((len(numbers), 1))
    for column in numbers.T:
        sums = np.concatenate([sums, sums + column[:, None]], axis=1)
    return sums


@dataclass(frozen=True)
class Approximation:
    """Masks of two layers that together compute about what one layer does."""

    first: Bools
    second: Bools
    error: float
    """The largest difference of a weight of the product from the target's."""

    @property
    def width(self) -> int:
        """Hidden units that are used."""
        return int((self.first.any(1) & self.second.any(0)).sum())


def approximate(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    target: NDArray[np.floating],
    epsilon: float,
) -> Approximation:
    """Prune second · relu(first · x) to target · x, each weight within `epsilon` where it can be.

    `first` is [h, in], `second` [out, h], `target` [out, in]. The hidden units are dealt out to the
    inputs, h / in to each, and keep the weight to their own input alone: those where it is positive
    carry x⁺, the others x⁻, so that each weight of the target is two subset sums. More and more
    units are drawn on, until every weight is near enough; no more than `MOST` a sum.
    """
    hidden, inputs = first.shape
    own = np.arange(hidden) * inputs // hidden
    masks = np.zeros(first.shape, np.bool_), np.zeros(second.shape, np.bool_)
    worst, given, sent = 0.0, first.astype(np.float64), second.astype(np.float64)
    problems = list(_problems(given, sent, target.astype(np.float64), own))
    for size in range(MOST + 1):
        worst = 0.0
        open_ = False
        for problem in problems:
            worst = max(worst, problem.look(size, epsilon))
            open_ |= size < len(problem.units)
        if worst <= epsilon or not open_:
            break
    for problem in problems:
        for row, units in zip(problem.rows, problem.chosen, strict=True):
            masks[1][row, units] = True
            masks[0][units, own[units]] = True
    return Approximation(*masks, worst)


@dataclass
class _Problem:
    """One input and one sign: a subset sum for each output, from the same units."""

    units: NDArray[np.intp]
    numbers: Numbers
    """[out, units]"""
    wanted: Numbers

    def __post_init__(self) -> None:
        self.rows = np.arange(len(self.wanted))
        self.chosen: list[NDArray[np.intp]] = [self.units[:0]] * len(self.wanted)
        self.error = np.abs(self.wanted)

    def look(self, size: int, epsilon: float) -> float:
        """Let what is not near enough choose from the first `size` units; the largest error."""
        open_ = self.error > epsilon
        if 0 < size <= len(self.units) and open_.any():
            chosen, error = closest_subsets(self.numbers[open_, :size], self.wanted[open_])
            for row, choice, away in zip(np.flatnonzero(open_), chosen, error, strict=True):
                if away < self.error[row]:
                    self.chosen[row], self.error[row] = self.units[:size][choice], away
        return float(self.error.max(initial=0.0))


def _problems(
    first: Numbers, second: Numbers, target: Numbers, own: NDArray[np.intp]
) -> Iterator[_Problem]:
    carried = first[np.arange(len(first)), own]
    for place in range(first.shape[1]):
        for sign in (1, -1):
            units = np.flatnonzero((own == place) & (carried * sign > 0))
            numbers = second[:, units] * np.abs(carried[units])
            yield _Problem(units, numbers, sign * target[:, place])
