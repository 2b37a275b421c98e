"""Exact selection of the best scores, with one tie rule: equal scores keep the lower position."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.masks.words import fits, rank_neighbours

Scores = NDArray[Any]
Bools = NDArray[np.bool_]

_CHUNK = 1 << 16
"""Scores looked at together: few enough to stay in cache."""
_NEIGHBOURS = 1 << 17
"""The same where they are worked on with few operations."""
_STRIDE = 257
"""One score in so many tells where about the threshold lies; odd, so as not to follow rows."""
_RANKED = 32
"""The largest group whose scores are compared in pairs; larger ones are sorted."""


class NonFiniteScores(ValueError):
    """A score is NaN or infinite; `position` is its layer's among the layers ranked together."""

    def __init__(self, layer: int, index: tuple[int, ...], value: float) -> None:
        super().__init__(f"{value} at {list(index)}")
        self.position = layer


@dataclass(frozen=True)
class Each(Sequence[NDArray[Any]]):
    """The arrays that `make` gives for some items: made when asked for, every time, never kept."""

    items: Sequence[Any]
    make: Callable[[Any], NDArray[Any]]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.make(self.items[index])

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return map(self.make, self.items)


def keep_best(scores: Scores, kept: int, within: Bools | None = None) -> Bools:
    """The `kept` highest scores among those `within`, as a mask of the scores' shape.

    Scores are float16, bfloat16, float32 or float64 in any memory layout; the mask has the same
    layout, positions are counted in C order. Raises `NonFiniteScores` for any score that is
    not finite, even outside of `within`, and `ValueError` if `kept` are not there to keep.
    """
    (mask,) = keep_best_global([scores], kept, None if within is None else [within])
    return mask


def keep_best_global(
    scores: Sequence[Scores], kept: int, within: Sequence[Bools] | None = None
) -> Iterator[Bools]:
    """The `kept` highest scores of several layers together; ties keep the earlier layer.

    Each sequence is read three times, one layer at a time: if it makes its arrays when asked
    (see `Each`), memory is bounded by the largest layer and the few scores near the threshold.
    What `keep_best` raises is raised before this returns; masks are made when asked for.
    """
    available, sample = _survey(scores, within)
    if not 0 <= kept <= available:
        raise ValueError(f"cannot keep {kept} of {available} weights")
    if kept == 0:
        return (np.zeros(layer.shape, dtype=np.bool_) for layer in scores)
    low, high = _bracket(sample, kept / available)
    found = _threshold(scores, within, low, high, kept)
    if found is None:  # the sample misled; everything lies between the infinities
        found = _threshold(scores, within, *_EVERYTHING, kept)
        assert found is not None
    threshold, above = found
    return _masks(scores, within, threshold, kept - above)


_EVERYTHING = np.float32(-np.inf), np.float32(np.inf)


def check_finite(scores: Scores, layer: int = 0) -> None:
    """Raise `NonFiniteScores` unless every score is finite."""
    if _sum_is_finite(scores):
        return
    finite = np.isfinite(scores)
    if not finite.all():
        index = np.unravel_index(int(np.argmin(finite)), scores.shape)
        raise NonFiniteScores(layer, tuple(map(int, index)), float(scores[index]))


def _sum_is_finite(scores: Scores) -> bool:
    """True only if every score is finite; may be False because the sum of finite ones is not."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.add.reduce(scores, axis=None, dtype=wide(scores))
    return bool(np.isfinite(total))


def _candidates(layer: Scores, allowed: Bools | None) -> Scores:
    """What may be kept of a layer, flat, in the order it lies in memory."""
    axes = _memory_order(layer)
    if allowed is None:
        return layer.transpose(axes).reshape(-1)
    if allowed.shape != layer.shape:
        raise ValueError(f"a mask of shape {allowed.shape} over scores of shape {layer.shape}")
    candidates: Scores = layer.transpose(axes)[allowed.transpose(axes)]
    return candidates


def _memory_order(array: Scores) -> list[int]:
    return sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))


def _pairs(
    scores: Sequence[Scores], within: Sequence[Bools] | None
) -> Iterator[tuple[Scores, Bools | None]]:
    if within is None:
        return ((layer, None) for layer in scores)
    return zip(scores, within, strict=True)


def _survey(scores: Sequence[Scores], within: Sequence[Bools] | None) -> tuple[int, Scores]:
    """The number of candidates, and a sample of them."""
    available, samples = 0, [np.empty(0, dtype=np.float32)]
    for position, (layer, allowed) in enumerate(_pairs(scores, within)):
        check_finite(layer, position)
        flat = _candidates(layer, allowed)
        available += flat.size
        samples.append(flat[::_STRIDE].astype(wide(flat)))
    return available, np.concatenate(samples)


def wide(scores: Scores) -> np.dtype[Any]:
    """A dtype that holds the scores exactly and that numpy compares fast."""
    return np.result_type(scores, np.float32)


def _bracket(sample: Scores, share: float) -> tuple[Any, Any]:
    """Scores between which the lowest of the best `share` almost certainly lies."""
    sample = np.sort(sample)[::-1]
    rank = share * sample.size
    margin = 4 * math.sqrt(rank * (1 - share)) + 4  # four standard deviations of the rank
    first, last = math.floor(rank - margin), math.ceil(rank + margin)
    low, high = _EVERYTHING
    return (
        sample[last] if last < sample.size else low,
        sample[first] if first >= 0 else high,
    )


def _threshold(
    scores: Sequence[Scores], within: Sequence[Bools] | None, low: Any, high: Any, kept: int
) -> tuple[Any, int] | None:
    """The lowest kept score, and how many are above it; None if it is not in `low` to `high`."""
    over = from_high = from_low = 0
    parts = [np.empty(0, dtype=np.float32)]
    for layer, allowed in _pairs(scores, within):
        flat = _candidates(layer, allowed)
        for start in range(0, flat.size, _CHUNK):
            chunk = flat[start : start + _CHUNK].astype(wide(flat), copy=False)
            over += int(np.count_nonzero(chunk > high))
            from_high += int(np.count_nonzero(chunk >= high))
            from_low += int(np.count_nonzero(chunk >= low))
            parts.append(chunk[(chunk > low) & (chunk < high)])
    between = np.concatenate(parts)
    del parts
    if not over < kept <= from_low:
        return None
    if kept <= from_high:
        return high, over
    if kept > from_high + between.size:
        return low, from_high + between.size
    rank = from_high + between.size - kept
    between.partition(rank)
    threshold = between[rank]
    return threshold, from_high + int(np.count_nonzero(between > threshold))


def _masks(
    scores: Sequence[Scores], within: Sequence[Bools] | None, threshold: Any, missing: int
) -> Iterator[Bools]:
    """Everything above the threshold, and the first so many at it as are missing."""
    for layer, allowed in _pairs(scores, within):
        mask = np.asarray(layer > threshold)
        if allowed is not None:
            mask &= allowed
        if missing:
            tied = np.asarray(layer == threshold)
            if allowed is not None:
                tied &= allowed
            found = int(np.count_nonzero(tied))
            if found > missing:
                _drop_after(tied, missing)
            mask |= tied
            missing -= min(found, missing)
        yield mask


def _drop_after(mask: Bools, count: int) -> None:
    """Clear all but the first `count` of what a mask keeps, in C order, in any memory layout."""
    rows = mask if mask.ndim > 1 else mask.reshape(1, -1)
    kept = rows.view(np.uint8).sum(axis=tuple(range(1, rows.ndim)), dtype=np.int64)
    upto = np.cumsum(kept)
    row = int(np.searchsorted(upto, count))
    last = rows[row].reshape(-1).copy()
    last[np.flatnonzero(last)[count - int(upto[row] - kept[row]) :]] = False
    rows[row] = last.reshape(rows.shape[1:])
    rows[row + 1 :] = False


def keep_n_of_m(scores: Scores, n: int, m: int, within: Bools | None = None) -> Bools:
    """The `n` highest of every `m` consecutive scores along axis 1 (the reduction dimension).

    A convolution's [out, in, *kernel] is grouped along its input channels at each place of the
    kernel. A group with fewer than `n` scores `within` keeps them all. Dtypes, layout and
    `NonFiniteScores` are as in `keep_best`; raises `ValueError` if `m` does not divide axis 1
    or `n` is not from 1 to `m`.
    """
    if not 1 <= n <= m:
        raise ValueError(f"cannot keep {n} of every {m}")
    if scores.ndim < 2 or scores.shape[1] % m:
        length = scores.shape[1] if scores.ndim > 1 else 0
        raise ValueError(f"axis 1 has length {length}, not a multiple of m = {m}")
    if within is not None and within.shape != scores.shape:
        raise ValueError(f"a mask of shape {within.shape} over scores of shape {scores.shape}")
    mask = np.empty_like(scores, dtype=np.bool_, subok=False)
    if fits(scores, m):
        _keep_neighbours(scores.reshape(-1), n, m, within, mask.reshape(-1))
        return mask
    axes = _memory_order(scores[:, ::m])
    source, result = _members(scores, m, axes), _members(mask, m, axes)
    allowed = None if within is None else _members(within, m, axes)
    rows = max(1, _CHUNK // max(1, source[:, :1].size))
    for start in range(0, source.shape[1], rows):
        chunk = slice(start, start + rows)
        members = source[:, chunk].astype(wide(scores), order="C")
        if not _sum_is_finite(members):
            check_finite(scores)
        if allowed is None:
            _rank(members, n, result[:, chunk])
        else:
            members[~allowed[:, chunk]] = -np.inf
            _rank(members, n, result[:, chunk])
            result[:, chunk] &= allowed[:, chunk]
    return mask


def _keep_neighbours(scores: Scores, n: int, m: int, within: Bools | None, mask: Bools) -> None:
    """The same for groups that lie in one piece."""
    allowed = None if within is None else within.reshape(-1)
    for start in range(0, scores.size, _NEIGHBOURS):
        chunk = slice(start, start + _NEIGHBOURS)
        members = scores[chunk].astype(wide(scores), copy=allowed is not None)
        if not _sum_is_finite(members):
            check_finite(scores)
        if allowed is not None:
            members[~allowed[chunk]] = -np.inf
        rank_neighbours(members, n, m, mask[chunk])
        if allowed is not None:
            mask[chunk] &= allowed[chunk]


def _members(array: NDArray[Any], m: int, axes: Sequence[int]) -> NDArray[Any]:
    """A view whose first axis runs over the members of each group, the others as given."""
    out, length, *rest = array.shape
    groups = np.moveaxis(array.reshape(out, length // m, m, *rest), 2, 0)
    return groups.transpose(0, *(axis + 1 for axis in axes))


def _rank(members: Scores, n: int, result: Bools) -> None:
    """Write which `n` of the members along axis 0 are highest; a tie keeps the earlier one."""
    m = members.shape[0]
    if m > _RANKED:
        order = np.argsort(-members, axis=0, kind="stable")
        result[...] = False
        np.put_along_axis(result, order[:n], True, axis=0)
        return
    rank = np.empty(members.shape, dtype=np.uint8)
    wins = np.empty(members.shape[1:], dtype=np.bool_)
    for i in range(m):
        rank[i] = m - 1 - i  # as if it lost to every later one
    for i in range(m):
        for j in range(i + 1, m):
            np.greater_equal(members[i], members[j], out=wins)
            rank[i] -= wins.view(np.uint8)
            rank[j] += wins.view(np.uint8)
    np.less(rank, n, out=result)
