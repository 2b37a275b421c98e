"""Finds the groups of a weight: rows that read the same input channels.

A layer whose rows fall into few such groups is a gather of channels and a grouped convolution:
dense work on the kept channels only. Groups are brought to one size by rows and columns of
zeros, which cost work and change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GATHER = 8
"""Rows of multiplications that fetching a channel takes about as long as."""

FEW = 16
"""So many rows may all read different channels."""


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
    def effort(self) -> float:
        """The same, with what fetching the channels costs."""
        rows: int = self.rows.shape[1]
        return self.work * (1 + GATHER / rows)

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


@dataclass(frozen=True)
class GroupedLayer:
    """A layer that was grouped.

    Row i of its weight is row `rows[i]` of the convolution's, or row i if `rows` is None; channel j
    of what it reads is channel `channels[j]` of what the gather reads, likewise.
    """

    grouping: Grouping
    rows: NDArray[np.int64] | None
    channels: NDArray[np.int64] | None


def grouped_name(weight: str) -> str:
    """What the weight of a grouped layer is called."""
    return f"{weight}.groups"


def find_groups(weight: NDArray[np.generic]) -> Grouping | None:
    """The groups of a weight or mask; None if few rows read what others read.

    Rows belong together if one reads the channels that the other reads, or some of them. Rows of
    zeros fill up groups. Groups of very different sizes are cut into smaller ones of one size, so
    that little is padded.
    """
    used = _used(weight)
    live, empty = np.flatnonzero(used.any(axis=1)), np.flatnonzero(~used.any(axis=1))
    if not live.size:
        nothing = np.full((1, 1), -1, np.int64)
        return Grouping(weight.shape[0], weight.shape[1], empty[None], nothing)
    _, first, member = np.unique(
        np.packbits(used[live], axis=1), axis=0, return_index=True, return_inverse=True
    )
    if len(first) > max(FEW, live.size // 2):
        return None
    patterns, joined = _largest(used[live[first]])
    member = joined[member.reshape(-1)]
    _, first = np.unique(member, return_index=True)
    rank = np.argsort(np.argsort(first))  # groups in the order of their first rows
    order = np.argsort(rank[member], kind="stable")
    groups = np.split(live[order], np.cumsum(np.bincount(rank[member]))[:-1])
    columns = [np.flatnonzero(patterns[at]) for at in np.argsort(rank)]
    groups, columns = _cut(_fill(groups, empty), columns)
    return Grouping(weight.shape[0], weight.shape[1], _padded(groups), _padded(columns))


def no_groups(weight: NDArray[np.generic], grouping: Grouping | None) -> str:
    """Why it does not pay at all to group a layer; empty if it may."""
    if grouping is None:
        return f"its {len(weight)} rows do not fall into groups that share their columns"
    if grouping.work >= 1:
        return (
            f"its {grouping.groups} groups would leave {grouping.work:.0%} of the multiplications"
        )
    return ""


def _largest(patterns: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """The patterns that are part of no other, and for each pattern the one that it is part of."""
    counts, numbers = patterns.sum(axis=1), patterns.astype(np.float32)
    inside = (numbers @ numbers.T).astype(np.int64) == counts[:, None]
    largest = inside.sum(axis=1) == 1
    into = np.argmax(inside & largest, axis=1)
    kept = np.flatnonzero(largest)
    return patterns[kept], np.searchsorted(kept, into)


def _used(weight: NDArray[np.generic]) -> NDArray[np.bool_]:
    """[out, in]: which channels a row reads anything of."""
    flat = weight.reshape(*weight.shape[:2], -1).astype(np.bool_)
    return np.asarray(flat.any(axis=2))


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


def _cut(
    groups: list[NDArray[np.int64]], columns: list[NDArray[np.int64]]
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Groups of at most the size for which gathering and multiplying take least."""
    sizes = np.array([len(group) for group in groups])
    candidates = np.unique(sizes)
    cost = [int(np.sum(-(-sizes // size)) * (size + GATHER)) for size in candidates]
    best = int(candidates[::-1][int(np.argmin(cost[::-1]))])
    parts = [np.split(group, range(best, len(group), best)) for group in groups]
    return (
        [part for cut in parts for part in cut],
        [read for cut, read in zip(parts, columns, strict=True) for _ in cut],
    )


def _padded(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    result = np.full((len(parts), max(len(part) for part in parts)), -1, np.int64)
    for at, part in enumerate(parts):
        result[at, : len(part)] = part
    return result
