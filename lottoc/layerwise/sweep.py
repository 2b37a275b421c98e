"""Prunes one layer from its first input to its last, the inputs that remain making up for it.

SparseGPT (Frantar & Alistarh 2023): a sweep over the columns of W in which every pruned weight
leaves an error e, which later columns undo as far as the Hessian H = 2XXᵀ of ‖ΔW X‖² allows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.layerwise.blas import each, one_thread_a_call, tiles
from lottoc.layerwise.choice import Choice
from lottoc.layerwise.factor import Factor, inverse_factor

Floats = NDArray[np.float32]
_BATCH = 16
"""Columns whose errors are applied one by one; beyond them, as a matrix product."""


@dataclass(frozen=True)
class Pruned:
    """A layer after the sweep.

    Attributes:
        weight: [out, in] float32, zero where pruned.
        mask: [out, in], true where kept.
        loss: tr(ΔW H ΔWᵀ), H with its damping.
        damping: what was needed to invert H.
    """

    weight: Floats
    mask: NDArray[np.bool_]
    loss: float
    damping: float


def sweep(
    weight: NDArray[np.floating],
    hessian: NDArray[np.floating],
    choice: Choice,
    *,
    damping: float = 0.01,
    block: int = 128,
    act_order: bool = False,
) -> Pruned:
    """Prune `weight` [out, in] as `choice` says, for inputs of Hessian [in, in] up to a factor.

    `block` is how many columns an unstructured choice decides on at a time; it is rounded up to
    whole groups of the choice. `act_order` takes the inputs with the largest diagonal first.
    Equal on any number of threads. Raises `SingularHessian`, which damping above 0 prevents.
    """
    group = choice.group
    block = -(-block // group) * group
    order = _order(hessian, group) if act_order else np.arange(weight.shape[1])
    factor = inverse_factor(hessian, damping, order)
    columns: Floats = _transposed(weight).astype(np.float32, copy=False)
    if act_order:
        columns = columns[order]
    choice = choice.ordered(order)
    errors, kept = np.zeros_like(columns), np.ones(columns.shape, np.bool_)
    batch = -(-_BATCH // group) * group
    with one_thread_a_call():
        for start in range(0, len(columns), block):
            stop = min(start + block, len(columns))
            _catch_up(columns, errors, factor, slice(start, stop))
            _prune_block(columns, errors, kept, factor, slice(start, stop), choice, batch)
        loss = sum(float(np.vdot(line, line)) for line in errors)
    back = np.argsort(order)
    pruned, mask = _transposed(columns[back] if act_order else columns), _transposed(kept[back])
    return Pruned(pruned, mask, loss, factor.damping)


def _transposed(array: NDArray[Any]) -> NDArray[Any]:
    """The transposed array, in C order, tile by tile."""
    result = np.empty(array.shape[::-1], array.dtype)

    def work(rows: slice) -> None:
        for columns in tiles(len(array), 64):
            result[rows, columns] = array[columns, rows].T

    each(work, tiles(len(result), 64))
    return result


def _order(hessian: NDArray[np.floating], group: int) -> NDArray[np.int64]:
    """Inputs by falling diagonal, groups staying together; equal ones as they are."""
    weight = np.diagonal(hessian).astype(np.float64).reshape(-1, group).sum(axis=1)
    groups = np.argsort(-weight, kind="stable")
    order: NDArray[np.int64] = (groups[:, None] * group + np.arange(group)).reshape(-1)
    return order


def _catch_up(columns: Floats, errors: Floats, factor: Factor, block: slice) -> None:
    """Apply to a block all errors made before it, as one long product."""
    if not block.start:
        return
    share = factor.block(slice(0, block.start), block).T

    def work(rows: slice) -> None:
        columns[block, rows] -= share @ errors[: block.start, rows]

    each(work, tiles(columns.shape[1]))


def _prune_block(
    columns: Floats,
    errors: Floats,
    kept: NDArray[np.bool_],
    factor: Factor,
    block: slice,
    choice: Choice,
    batch: int,
) -> None:
    upper = factor.block(block, block)
    diagonal = np.diagonal(upper).copy()
    dead = factor.dead[block]
    now, error, keep = columns[block], errors[block], kept[block]

    def scores(members: slice) -> Floats:
        """w² / U_ii², the loss of pruning each; inputs that never fired come below all others."""
        found: Floats = np.square(now[members] / diagonal[members, None])
        if dead[members].any():
            idle = np.abs(now[members][dead[members]])
            found[dead[members]] = -1 / np.maximum(idle, np.float32(1e-30))
        return found

    choice.begin(block, scores, keep)
    for first in range(0, len(now), batch):
        last = min(first + batch, len(now))
        _prune_batch(now, error, keep, upper, slice(first, last), block, choice, scores)
        if last < len(now):
            share = upper[first:last, last:].T

            def later(
                rows: slice, first: int = first, last: int = last, share: Floats = share
            ) -> None:
                now[last:, rows] -= share @ error[first:last, rows]

            each(later, tiles(now.shape[1]))


def _prune_batch(
    now: Floats,
    error: Floats,
    keep: NDArray[np.bool_],
    upper: Floats,
    batch: slice,
    block: slice,
    choice: Choice,
    scores: Callable[[slice], Floats],
) -> None:
    """Column by column: what is pruned becomes an error, which the rest of the batch undoes."""
    for i in range(batch.start, batch.stop):
        choice.at(block.start + i, i, scores, keep)
        np.multiply(now[i], ~keep[i], out=error[i])
        error[i] /= upper[i, i]
        now[i] *= keep[i]
        if i + 1 < batch.stop:
            now[i + 1 : batch.stop] -= upper[i, i + 1 : batch.stop, None] * error[i]
