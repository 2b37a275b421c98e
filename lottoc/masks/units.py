"""Masks that keep or prune whole units: tiles of rows by columns, each with its kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lottoc.masks.select import Bools, Scores, check_finite

Tile = tuple[int, int]
Means = NDArray[np.float64]

_CHUNK = 1 << 18
"""Scores brought to float64 together."""


def unit_means(scores: Scores, tile: Tile, layer: int = 0) -> Means:
    """The mean score of each unit, [rows / tile rows, columns / tile columns], in float64.

    Of units of one size the one with the highest sum; of different sizes the mean favours none.
    Scores are of any real dtype and layout; a mean is the same for all layouts, and no sum
    overflows. Raises `NonFiniteScores` of that `layer`.
    """
    check_finite(scores, layer)
    (rows, columns), (out, inputs) = tile, scores.shape[:2]
    weights = math.prod(scores.shape[2:]) * rows * columns
    shift = (weights - 1).bit_length()
    means = np.empty((out // rows, inputs // columns), dtype=np.float64)
    step = max(1, _CHUNK * rows // max(1, scores[:rows].size)) if scores.size else 1
    for start in range(0, means.shape[0], step):
        part = scores[start * rows : (start + step) * rows].astype(np.float64, order="C")
        np.ldexp(part, -shift, out=part)  # exact, and no sum of so many overflows
        tiles = part.reshape(-1, rows, means.shape[1], columns * (weights // (rows * columns)))
        means[start : start + step] = tiles.sum(axis=3).sum(axis=1)
    means /= weights
    np.ldexp(means, shift, out=means)
    return means


def keep_units(scores: Scores, tile: Tile, kept: int, within: Bools | None = None) -> Bools:
    """The `kept` units of the highest means; equal means keep the lower position.

    A unit can be kept only if all of it is `within`. Raises `NonFiniteScores`, and `ValueError`
    if so many are not there.
    """
    means = unit_means(scores, tile).reshape(-1)
    open_ = _open(within, scores.shape, tile)
    order = np.argsort(-means[open_], kind="stable")
    if not 0 <= kept <= order.size:
        raise ValueError(f"cannot keep {kept} of {order.size} units")
    chosen = np.zeros(means.size, dtype=np.bool_)
    chosen[open_[order[:kept]]] = True
    return _spread(chosen, scores.shape, tile)


def keep_units_together(
    scores: Sequence[Scores],
    tile: Callable[[Sequence[int]], Tile],
    kept: int,
    within: Sequence[Bools] | None = None,
) -> Iterator[Bools]:
    """The fewest units of the highest means, of all layers, that hold `kept` weights or more.

    The best unit of each layer is kept in any case. Equal means keep the earlier layer, then the
    lower position. What `keep_units` raises is raised before this returns; masks are made when
    asked for.
    """
    means, opens, sizes, shapes = [], [], [], []
    for position, layer in enumerate(scores):
        units = tile(layer.shape)
        open_ = _open(within[position] if within is not None else None, layer.shape, units)
        if not open_.size:
            raise ValueError("the earlier mask leaves a layer no whole unit")
        means.append(unit_means(layer, units, position).reshape(-1)[open_])
        opens.append(open_)
        shapes.append(layer.shape)
        sizes.append(math.prod(layer.shape[2:]) * math.prod(units))
    chosen = _choose(means, sizes, kept)
    return _masks(chosen, opens, shapes, tile)


def _choose(means: Sequence[Means], sizes: Sequence[int], kept: int) -> list[Bools]:
    """Which units to keep of each layer, given their means in order and their weights."""
    available = sum(layer.size * size for layer, size in zip(means, sizes, strict=True))
    if not 0 <= kept <= available:
        raise ValueError(f"cannot keep {kept} of {available} weights")
    ends = np.cumsum([layer.size for layer in means])
    best = np.array([end - m.size + int(np.argmax(m)) for end, m in zip(ends, means, strict=True)])
    chosen = np.zeros(int(ends[-1]), dtype=np.bool_)
    chosen[best] = True
    order = np.argsort(-np.concatenate(means), kind="stable")
    order = order[~chosen[order]]
    weights = np.repeat(np.array(sizes, dtype=np.int64), [layer.size for layer in means])
    missing = kept - sum(sizes)
    if missing > 0:
        chosen[order[: int(np.searchsorted(np.cumsum(weights[order]), missing)) + 1]] = True
    return np.split(chosen, ends[:-1])


def _masks(
    chosen: Sequence[Bools],
    opens: Sequence[NDArray[np.intp]],
    shapes: Sequence[tuple[int, ...]],
    tile: Callable[[Sequence[int]], Tile],
) -> Iterator[Bools]:
    for which, open_, shape in zip(chosen, opens, shapes, strict=True):
        rows, columns = tile(shape)
        units = np.zeros(shape[0] // rows * (shape[1] // columns), dtype=np.bool_)
        units[open_[which]] = True
        yield _spread(units, shape, (rows, columns))


def are_units(mask: Bools, tile: Tile) -> bool:
    """Whether every unit is kept whole or pruned whole."""
    units = _units(mask, tile)
    return np.array_equal(units.any(axis=(1, 3)), units.all(axis=(1, 3)))


def _open(within: Bools | None, shape: tuple[int, ...], tile: Tile) -> NDArray[np.intp]:
    """The units that lie within an earlier mask, in C order."""
    if within is None:
        return np.arange(shape[0] // tile[0] * (shape[1] // tile[1]))
    if within.shape != shape:
        raise ValueError(f"a mask of shape {within.shape} over scores of shape {shape}")
    return np.flatnonzero(_units(within, tile).all(axis=(1, 3)))


def _units(mask: Bools, tile: Tile) -> Bools:
    """[units down, rows of a tile, units across, weights of a tile's row]."""
    rows, columns = tile
    out, inputs, *kernel = mask.shape
    return mask.reshape(out // rows, rows, inputs // columns, columns * math.prod(kernel))


def _spread(units: Bools, shape: tuple[int, ...], tile: Tile) -> Bools:
    """The mask, in C order, that keeps the units which a flat array keeps."""
    mask = np.empty(shape, dtype=np.bool_)
    _units(mask, tile)[...] = units.reshape(shape[0] // tile[0], 1, shape[1] // tile[1], 1)
    return mask
