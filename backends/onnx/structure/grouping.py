"""Finds the groups of a weight: rows that read the same input channels.

A layer whose rows fall into few such groups is a gather of channels and a grouped convolution:
dense work on the kept channels only. Groups are brought to one size by rows and columns of
zeros, which cost work and change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Grouping:
    """The groups of a weight [out, in, *kernel].

    `rows[g]` are the rows of group g and `columns[g]` the channels it reads, both padded with -1
    to one length for all groups.
    """

    outputs: int
    inputs: int
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    @property
    def groups(self) -> int:
        """Number of groups."""
        return len(self.rows)

    @property
    def work(self) -> float:
        """Multiplications left, padding included, as a share of the dense layer's."""
        left: int = self.rows.size * self.columns.shape[1]
        return left / (self.outputs * self.inputs)

    @property
    def gathered(self) -> NDArray[np.int64]:
        """The channels to gather, group by group; padding reads channel 0 against zeros."""
        return np.maximum(self.columns, 0).reshape(-1)

    @property
    def place(self) -> NDArray[np.int64]:
        """Where each row of the weight is among the outputs of the grouped layer."""
        flat = self.rows.reshape(-1)
        result = np.empty(self.outputs, np.int64)
        result[flat[flat >= 0]] = np.flatnonzero(flat >= 0)
        return result

    def weight(self, dense: NDArray[np.generic]) -> NDArray[np.generic]:
        """[groups * rows a group, columns a group, *kernel], zero where padded."""
        rows, columns = np.maximum(self.rows, 0), np.maximum(self.columns, 0)
        picked = dense[rows[:, :, None], columns[:, None, :]]
        real = (self.rows >= 0)[:, :, None] & (self.columns >= 0)[:, None, :]
        real = real.reshape(*real.shape, *(1,) * (dense.ndim - 2))
        picked = np.where(real, picked, np.zeros((), dense.dtype))
        return picked.reshape(self.rows.size, self.columns.shape[1], *dense.shape[2:])

    def per_row(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """One number a row, such as a bias, in the order of the grouped layer's outputs."""
        flat = self.rows.reshape(-1)
        return np.where(flat >= 0, values[np.maximum(flat, 0)], np.zeros((), values.dtype))


def find_groups(weight: NDArray[np.generic]) -> Grouping:
    """Rows with the same channels that are not zero are a group; rows of zeros fill up others."""
    used = (weight.reshape(*weight.shape[:2], -1) != 0).any(axis=2)
    patterns, member = np.unique(np.packbits(used, axis=1), axis=0, return_inverse=True)
    member = member.reshape(-1)
    first = np.array([np.flatnonzero(member == g)[0] for g in range(len(patterns))], np.int64)
    order = [g for g in np.argsort(first).tolist() if used[first[g]].any()]
    groups = [np.flatnonzero(member == g) for g in order] or [np.zeros(0, np.int64)]
    empty = np.flatnonzero(~used.any(axis=1))
    groups = _fill(groups, empty)
    columns = [np.flatnonzero(used[first[g]]) for g in order] or [np.zeros(1, np.int64)]
    return Grouping(weight.shape[0], weight.shape[1], _padded(groups), _padded(columns))


def _fill(groups: list[NDArray[np.int64]], empty: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Give rows of zeros to the smallest groups; they are zeros in whichever group they are."""
    sizes = [len(group) for group in groups]
    given: list[list[int]] = [[] for _ in groups]
    for row in empty.tolist():
        smallest = int(np.argmin(sizes))
        sizes[smallest] += 1
        given[smallest].append(row)
    return [
        np.concatenate([group, np.array(more, np.int64)])
        for group, more in zip(groups, given, strict=True)
    ]


def _padded(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    longest = max(1, *(len(part) for part in parts)) if parts else 1
    result = np.full((len(parts), longest), -1, np.int64)
    for at, part in enumerate(parts):
        result[at, : len(part)] = part
    return result
