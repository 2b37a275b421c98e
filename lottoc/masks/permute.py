"""Searches an order of input channels under which an N:M pattern keeps more of the scores.

An N:M mask keeps the n best of every m neighbours along axis 1, a stripe; which channels are
neighbours is free as long as whoever makes them writes them in that order. As in Pool & Yu 2021,
"Channel Permutations for N:M Sparsity" (NeurIPS), channels change places while that keeps more,
and random changes lead out of local optima. What is new here is that all exchanges of two channels
are known at once: where t is the n-th largest of a stripe's other channels, putting channel x in
the place of one keeps Σ max(t, x) over rows (and what is above t, whatever x is), so the gains of
all exchanges are one matrix, of which an exchange changes only the rows of two stripes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Order = NDArray[np.int64]

_CHUNK = 1 << 17
"""Numbers worked on at a time: what they need stays in the processor's caches or near."""

_LEAST = 1e-6
"""Smaller gains, relative to what a stripe holds, are rounding."""

_KICK = 5
"""Channels that change places at random, in a circle, to leave a local optimum."""

_ENOUGH = 8
"""Ways out that are tried for each stripe at most: a few channels have few orders."""

_MOST = 1 << 26
"""Scores that are searched together; of more only every so manieth row is looked at."""


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

    `scores` [out, in, *kernel] are finite, with `in` a multiple of m. After the search, `escapes`
    random changes are tried as ways out of a local optimum. Equal inputs give equal orders.
    Raises `ValueError` if m does not divide the channels.
    """
    return search_shared_order([scores], n, m, escapes=escapes, seed=seed)


def search_shared_order(
    layers: Sequence[NDArray[np.floating]], n: int, m: int, *, escapes: int = 100, seed: int = 0
) -> Order:
    """The same for layers that read the same channels: one order, by what all keep together.

    Read a layer at a time, and anew each time if `layers` makes its arrays when asked (see `Each`);
    of more scores than fit in memory some rows are searched, and then all are asked.
    """
    shapes = [layer.shape for layer in layers]
    channels = {shape[1] for shape in shapes}
    if len(channels) != 1:
        raise ValueError(f"layers of {sorted(channels)} channels do not read the same ones")
    (width,) = channels
    if width % m:
        raise ValueError(f"{width} channels are no multiple of m = {m}")
    same = np.arange(width)
    if n == m or width <= m:
        return same
    step = -(-sum(map(math.prod, shapes)) // _MOST)
    matrix = np.concatenate([_matrix(layer)[::step] for layer in layers])
    order = _Search(matrix, n, m, np.random.default_rng(seed)).run(escapes)
    del matrix
    if step > 1:
        found = sum(kept_score(layer, n, m, order) - kept_score(layer, n, m) for layer in layers)
        order = order if found > 0 else same
    return order


def _matrix(scores: NDArray[np.floating]) -> Scores:
    """[rows, channels]: each place of a kernel is a row of its own."""
    moved = np.moveaxis(scores, 1, -1)
    return np.ascontiguousarray(moved.reshape(-1, scores.shape[1]), dtype=np.float32)


@dataclass(frozen=True)
class _Step:
    """The channel of place `sources[i]` came to `to[i]`; `takes` and `gains` of `places` before."""

    to: Order
    sources: Order
    places: Order
    takes: Scores
    gains: Scores


class _Search:
    """Exchanges channels for as long as that gains, then shakes a few and goes on from there.

    `order[p]` is the channel at place p. `takes[p, q]` is what p's stripe gains if the channel at q
    comes in place of the one at p, `gains[p, q]` what both stripes gain if they change places.
    """

    def __init__(self, matrix: Scores, n: int, m: int, rng: np.random.Generator) -> None:
        self.columns = np.ascontiguousarray(matrix.T)
        self.n, self.m, self.rng = n, m, rng
        count = len(self.columns)
        self.order = np.arange(count)
        self.stripe_of = self.order // m
        self.stripes = count // m
        self.others = np.array([[j for j in range(m) if j != i] for i in range(m)])
        self.takes = np.zeros((count, count), np.float32)
        self.gains = np.zeros_like(self.takes)
        self.steps: list[_Step] = []
        self.least = _LEAST * float(np.abs(matrix).sum(dtype=np.float64)) / self.stripes

    def run(self, escapes: int) -> Order:
        self._look(np.arange(self.stripes))
        self._descend(final=True)
        for _ in range(min(escapes, _ENOUGH * self.stripes)):
            self._escape()
        return self.order

    def _places(self, stripes: Order) -> Order:
        """[stripes, m]"""
        places: Order = stripes[:, None] * self.m + np.arange(self.m)
        return places

    def _kept(self, stripes: Order) -> float:
        """What some stripes keep, exactly."""
        total = 0.0
        for part in self._parts(stripes, self.m):
            members = np.moveaxis(self.columns[self.order[self._places(part)]], 1, 0)
            total += float(retained(members, self.n).sum(dtype=np.float64))
        return total

    def _parts(self, stripes: Order, each: int) -> list[Order]:
        """Some stripes at a time, so that `each` numbers for a row of each are not too many."""
        size = max(1, _CHUNK // (each * self.columns.shape[1]))
        return [stripes[at : at + size] for at in range(0, len(stripes), size)]

    def _look(self, stripes: Order) -> None:
        """Note what every exchange with a channel of these stripes gains."""
        for part in self._parts(stripes, self.m * self.m):
            self._take(part)
        places = self._places(stripes).reshape(-1)
        gains = self.takes[places] + self.takes[:, places].T
        gains[self.stripe_of[places][:, None] == self.stripe_of] = 0
        self.gains[places] = gains
        self.gains[:, places] = gains.T

    def _take(self, stripes: Order) -> None:
        places = self._places(stripes)
        members = self.columns[self.order[places]]
        rest = np.sort(members[:, self.others], axis=2)
        threshold = rest[:, :, self.m - 1 - self.n]
        own = np.maximum(threshold, members).sum(axis=2, dtype=np.float64).reshape(-1)
        rows, width = threshold.reshape(-1, self.columns.shape[1]), self.columns.shape[1]
        size = min(len(self.order), max(1, _CHUNK // width))
        together = max(1, _CHUNK // (width * size))
        for start in range(0, len(self.order), size):
            incoming = self.columns[self.order[start : start + size]]
            for at in range(0, len(rows), together):
                some = slice(at, at + together)
                better = np.maximum(rows[some, None], incoming)
                gained = better.sum(axis=2) - own[some, None]
                self.takes[places.reshape(-1)[some], start : start + size] = gained

    def _move(self, to: Order, sources: Order) -> float:
        """Bring the channels of some places to others, all in stripes apart; what is gained."""
        stripes = self.stripe_of[to]
        places = self._places(stripes).reshape(-1)
        self.steps.append(_Step(to, sources, places, self.takes[places], self.gains[places]))
        before = self._kept(stripes)
        self._turn(to, sources)
        self._look(stripes)
        return self._kept(stripes) - before

    def _turn(self, to: Order, sources: Order) -> None:
        self.order[to] = self.order[sources]
        self.takes[:, to] = self.takes[:, sources]

    def _undo(self) -> None:
        step = self.steps.pop()
        self._turn(step.sources, step.to)
        self.takes[step.places] = step.takes
        self.gains[step.places] = step.gains
        self.gains[:, step.places] = step.gains.T

    def _descend(self, final: bool = False) -> float:
        """Make the exchanges that gain most, side by side, until none gains; the sum of gains.

        What is final cannot be undone.
        """
        total = 0.0
        while (pairs := self._best()).size:
            gained = self._move(pairs.reshape(-1), pairs[:, ::-1].reshape(-1))
            if gained <= 0:  # it was rounding
                self._undo()
                break
            total += gained
            if final:
                self.steps.clear()
        return total

    def _best(self) -> Order:
        """Pairs of places to exchange, at most one for each stripe."""
        partner = self.gains.argmax(axis=1)
        gain = self.gains[np.arange(len(partner)), partner]
        places = np.flatnonzero(gain > self.least)
        free: NDArray[np.bool_] = np.ones(self.stripes, np.bool_)
        pairs = []
        for place in places[np.argsort(-gain[places], kind="stable")].tolist():
            two = [place, int(partner[place])]
            if free[self.stripe_of[two]].all():
                free[self.stripe_of[two]] = False
                pairs.append(two)
        return np.array(pairs, np.int64).reshape(-1, 2)

    def _escape(self) -> None:
        """Let a few channels change places, go on from there; come back unless that was better."""
        self.steps.clear()
        count = min(_KICK, self.stripes)
        stripes = self.rng.choice(self.stripes, count, replace=False)
        places = stripes * self.m + self.rng.integers(self.m, size=count)
        gained = self._move(places, np.roll(places, 1)) + self._descend()
        while gained <= self.least and self.steps:
            self._undo()
