"""Which connections go and which come when a mask moves: exact counts and one tie rule.

The lowest magnitudes among the kept weights are dropped, ties dropping the later position; the
highest growth scores among everything not kept are grown, what was just dropped included, ties
growing the earlier position. A growth score of 0 grows nothing: that much less is dropped.
"""

from __future__ import annotations

import math

import numpy as np

from lottoc.masks.select import Bools, Scores, keep_best


def cosine(drop: float, step: int, until: int) -> float:
    """drop / 2 · (1 + cos(π · step / until)), the share of kept weights that go at a step.

    Source: Evci et al. 2020, "Rigging the Lottery", §3 (after Dettmers & Zettlemoyer 2019).
    """
    return drop / 2 * (1 + math.cos(math.pi * step / until))


def dropped(mask: Bools, share: float) -> int:
    """⌊share · kept⌋."""
    return math.floor(share * np.count_nonzero(mask))


def swap(weights: Scores, mask: Bools, growth: Scores, drops: int) -> Bools:
    """Drop `drops` of the kept weights by magnitude and grow as many by `growth` ≥ 0.

    All of one shape; as many are kept afterwards as before. Raises `NonFiniteScores`.
    """
    magnitude = np.abs(weights)
    kept = keep_best(magnitude, int(np.count_nonzero(mask)) - drops, mask)
    fertile = ~kept & (growth > 0)
    grown = min(drops, int(np.count_nonzero(fertile)))
    moved = kept | keep_best(growth, grown, fertile)
    if grown < drops:
        moved |= keep_best(magnitude, drops - grown, mask & ~moved)
    return moved


def swap_rows(
    weights: Scores, mask: Bools, growth: Scores, drops: int, fan_in: int, alive: Bools
) -> Bools:
    """`swap` on a matrix whose rows end with exactly `fan_in` kept, or none if not `alive` [rows].

    The lowest `drops` of the whole matrix go; a row that then keeps more than `fan_in` loses the
    lowest of them as well; each row grows by its own best growth scores. Raises `NonFiniteScores`.
    """
    magnitude = np.abs(weights)
    there = mask & alive[:, None]
    most = min(int(np.count_nonzero(mask)) - drops, int(np.count_nonzero(there)))
    kept = _best_of_rows(np.where(keep_best(magnitude, most, there), magnitude, -1), fan_in)
    still = (growth == 0) & ~kept
    order = np.lexsort(
        (
            np.where(still, -magnitude, 0),
            still & ~mask,
            np.where(kept, -np.inf, -growth.astype(np.float64)),
        ),
        axis=1,
    )
    moved = np.zeros_like(mask)
    np.put_along_axis(moved, order[:, :fan_in], True, axis=1)
    return moved & alive[:, None]


def _best_of_rows(scores: Scores, most: int) -> Bools:
    """At most so many of a row's scores ≥ 0, the highest."""
    order = np.argsort(-scores, axis=1, kind="stable")
    best = np.zeros(scores.shape, dtype=np.bool_)
    np.put_along_axis(best, order[:, :most], True, axis=1)
    return best & (scores >= 0)


def alive_rows(
    weights: Scores, mask: Bools, growth: Scores, drops: int, budget: int, share: float
) -> Bools:
    """The rows of a matrix that constant fan-in keeps: those with enough salient connections.

    Salient are the weights that `swap` would keep, and as many of the highest growth scores as it
    would drop. A row with fewer than max(1, ⌊share · fan-in⌋) of them dies; but as many rows live
    as are needed to hold `budget` weights, those with the most. A dead row may come back later.
    Source: Lasby et al. 2024, "Dynamic Sparse Training with Structured Sparsity", §3.
    """
    kept = int(np.count_nonzero(mask)) - drops
    salient = keep_best(np.abs(weights), kept, mask)
    fertile = growth > 0
    salient |= keep_best(growth, min(drops, int(np.count_nonzero(fertile))), fertile)
    counts = np.asarray(np.count_nonzero(salient, axis=1))
    fan_in = int(mask.sum(axis=1).max())
    needed = max(1, -(-budget // mask.shape[1]))
    threshold = max(1, math.floor(share * fan_in))
    alive: Bools = counts >= threshold
    if np.count_nonzero(alive) < needed:
        alive[:] = False
        alive[np.argsort(-counts, kind="stable")[:needed]] = True
    return alive


def cubic(final: float, step: int, begin: int, until: int) -> float:
    """final · (1 - (1 - (step - begin) / (until - begin))³), a sparsity that rises from 0.

    Source: Zhu & Gupta 2017, "To prune, or not to prune", §3, equation 1.
    """
    left = 1 - min(1.0, max(0.0, (step - begin) / (until - begin)))
    return final * (1 - left**3)
