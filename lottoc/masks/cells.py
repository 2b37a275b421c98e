"""Patterns of constant fan-in as one matrix: rows that keep equally many of their cells.

Under `fanin` a row is an output and a cell a weight; under N:M a row is M neighbours and a cell a
weight; under `groups` a row is a group of outputs and a cell all weights of the group at one
place of axis 1. So one rule that keeps rows constant moves masks of all three.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lottoc.masks.groups import group_count
from lottoc.masks.patterns import Pattern
from lottoc.masks.patterns.groups import Groups
from lottoc.masks.patterns.nm import NofM
from lottoc.masks.select import Bools, Scores


class Cells(Protocol):
    """Between a layer's weights [out, in, *kernel] and a matrix of cells."""

    def fold(self, scores: Scores) -> Scores:
        """Scores ≥ 0 of cells from scores ≥ 0 of weights, summed."""

    def unfold(self, kept: Bools) -> Bools:
        """The mask that keeps the weights of these cells."""


def cells_of(pattern: Pattern, mask: Bools) -> Cells:
    """The cells that a mask of a pattern has; under `groups` the mask says which rows go together.

    Raises `ValueError` for a pattern that has no constant fan-in.
    """
    match pattern:
        case NofM(m=m):
            return _Neighbours(mask.shape, m)
        case Groups(least=least):
            return _Groups(mask.shape, together(mask, least))
        case _ if pattern.name == "fanin":
            return _Outputs(mask.shape)
    raise ValueError(f"masks that are {pattern} have no constant fan-in")


@dataclass(frozen=True)
class _Outputs:
    shape: tuple[int, ...]

    def fold(self, scores: Scores) -> Scores:
        return scores.reshape(self.shape[0], -1)

    def unfold(self, kept: Bools) -> Bools:
        return kept.reshape(self.shape)


@dataclass(frozen=True)
class _Neighbours:
    shape: tuple[int, ...]
    m: int

    def fold(self, scores: Scores) -> Scores:
        out, inputs, *kernel = self.shape
        grouped = scores.reshape(out, inputs // self.m, self.m, *kernel)
        return np.ascontiguousarray(np.moveaxis(grouped, 2, -1)).reshape(-1, self.m)

    def unfold(self, kept: Bools) -> Bools:
        out, inputs, *kernel = self.shape
        grouped = kept.reshape(out, inputs // self.m, *kernel, self.m)
        return np.ascontiguousarray(np.moveaxis(grouped, -1, 2)).reshape(self.shape)


@dataclass(frozen=True)
class _Groups:
    shape: tuple[int, ...]
    rows: NDArray[Any]
    """[groups, rows a group]."""

    def fold(self, scores: Scores) -> Scores:
        columns = scores.reshape(*self.shape[:2], -1).sum(axis=2, dtype=np.float64)
        folded: Scores = columns[self.rows].sum(axis=1)
        return folded

    def unfold(self, kept: Bools) -> Bools:
        mask = np.empty(self.shape[:2], dtype=np.bool_)
        mask[self.rows] = kept[:, None]
        whole = np.empty(self.shape, dtype=np.bool_)
        whole[...] = mask.reshape(*mask.shape, *[1] * (len(self.shape) - 2))
        return whole


def together(mask: Bools, least: int) -> NDArray[Any]:
    """Which rows of a mask of `groups` keep the same columns, [groups, rows a group].

    Groups that happen to keep the same are told apart by the order of their rows. Raises
    `ValueError` if the mask is not of that pattern.
    """
    size = mask.shape[0] // group_count(mask.shape[0], least)
    packed = np.packbits(mask.reshape(len(mask), -1), axis=1)
    _, family, counts = np.unique(packed, axis=0, return_inverse=True, return_counts=True)
    if np.any(counts % size):
        raise ValueError(f"the rows of this mask do not keep the same columns by {size}")
    return np.argsort(family.reshape(-1), kind="stable").reshape(-1, size)
