"""What a sweep prunes: so many weights a block, N of every M, or what a mask says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lottoc.masks.select import keep_best, keep_n_of_m

Bools = NDArray[np.bool_]
Scores = Callable[[slice], NDArray[np.float32]]
"""Scores of some columns of the block, [columns, out], the weights being what they are now."""


class Choice(Protocol):
    """Decides during a sweep; arrays are [in, out], columns counted in the sweep's order."""

    @property
    def group(self) -> int:
        """Columns that are decided on together."""

    def ordered(self, order: NDArray[np.int64]) -> Choice:
        """The same for inputs in another order, groups staying together."""

    def begin(self, block: slice, scores: Scores, keep: Bools) -> None:
        """A block begins: write into `keep` what is known already."""

    def at(self, column: int, place: int, scores: Scores, keep: Bools) -> None:
        """A column is next, the one at `place` in its block."""


@dataclass(frozen=True)
class Count:
    """Exactly `pruned` weights of `size`, block by block an equal share.

    After every block ⌊pruned · done / size⌋ are pruned. Equal scores keep the lower position.
    """

    pruned: int
    size: int

    @property
    def group(self) -> int:
        """Weights are decided on one by one."""
        return 1

    def ordered(self, order: NDArray[np.int64]) -> Count:
        """A share of a block is the same in any order."""
        return self

    def begin(self, block: slice, scores: Scores, keep: Bools) -> None:
        """Keep the best of the block's scores."""
        out = keep.shape[1]
        before, after = (
            self.pruned * (end * out) // self.size for end in (block.start, block.stop)
        )
        keep[...] = _best(scores(slice(0, len(keep))), keep.size - (after - before))

    def at(self, column: int, place: int, scores: Scores, keep: Bools) -> None:
        """All was decided when the block began."""


def _best(found: NDArray[np.float32], kept: int) -> Bools:
    """`keep_best` of the transposed scores; one pass where no score is met twice."""
    rank = found.size - kept
    if 0 < rank < found.size and np.isfinite(found.sum(dtype=np.float64)):
        best: Bools = found >= np.partition(found, rank, axis=None)[rank]
        if np.count_nonzero(best) == kept:
            return best
    return keep_best(found.T, kept).T


@dataclass(frozen=True)
class NOfM:
    """`n` of every `m` inputs of an output; decided when the first of the m is reached."""

    n: int
    m: int

    @property
    def group(self) -> int:
        """m."""
        return self.m

    def ordered(self, order: NDArray[np.int64]) -> NOfM:
        """Groups stay together."""
        return self

    def begin(self, block: slice, scores: Scores, keep: Bools) -> None:
        """Nothing is known yet: the sweep changes weights that are still to be decided on."""

    def at(self, column: int, place: int, scores: Scores, keep: Bools) -> None:
        """Keep the best `n` of the group that begins here, if one does."""
        if column % self.m == 0:
            members = slice(place, place + self.m)
            keep[members] = keep_n_of_m(scores(members).T, self.n, self.m).T


@dataclass(frozen=True)
class Given:
    """What a mask [out, in] says: only the weights are found."""

    mask: Any

    @property
    def group(self) -> int:
        """The mask is the same in any order."""
        return 1

    def ordered(self, order: NDArray[np.int64]) -> Given:
        """The mask's columns in that order."""
        return Given(self.mask[:, order])

    def begin(self, block: slice, scores: Scores, keep: Bools) -> None:
        """Copy the block."""
        keep[...] = self.mask[:, block].T

    def at(self, column: int, place: int, scores: Scores, keep: Bools) -> None:
        """All was said before."""
