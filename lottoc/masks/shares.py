"""How much each layer keeps, by what its scores look like: counts that data decide.

Layers are looked at one at a time; each is scored anew whenever it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import numpy as np

from lottoc.masks.allocate import apportion, pruned_count
from lottoc.masks.select import Each, Scores, check_finite, keep_best_global

OUTLIER, SPREAD = 5.0, 0.08
"""M and λ of the paper on OWL."""
_FINE = 1 << 20


def owl(scores: Sequence[Scores], density: Fraction) -> list[int]:
    """Outlier-weighed counts (Yin et al. 2024, §3): layers with more outliers keep more.

    D_l is the share of a layer's scores above 5 times their mean. Densities are D_l, spread over
    an interval of 2 · 0.08 and moved so that the total is exact, each from 0 to 1.
    """
    sizes = [int(np.prod(layer.shape)) for layer in scores]
    shares = []
    for position, layer in enumerate(scores):
        check_finite(layer, position)
        positive = np.maximum(layer, 0)
        mean = float(positive.mean(dtype=np.float64))
        shares.append(float(np.count_nonzero(positive > OUTLIER * mean)) / layer.size)
    low, high = min(shares), max(shares)
    width = (high - low) or 1.0
    moved = [(share - low) / width * 2 * SPREAD for share in shares]
    mean = sum(m * size for m, size in zip(moved, sizes, strict=True)) / sum(sizes)
    claims = [
        max(1, math.floor(min(max(float(density) + m - mean, 0.0), 1.0) * size * _FINE))
        for m, size in zip(moved, sizes, strict=True)
    ]
    return apportion(claims, sizes, _total(sizes, density))


def error(scores: Sequence[Scores], density: Fraction) -> list[int]:
    """Counts with the least sum of relative errors: a weight's error is the square of its score,
    a layer's the sum of what it prunes over the sum of all (for `wanda`, of its outputs if
    inputs were uncorrelated); so weights are ranked together, scores over their norm."""
    sizes = [int(np.prod(layer.shape)) for layer in scores]
    relative = Each(range(len(scores)), lambda i: _relative(scores[i]))
    masks = keep_best_global(relative, _total(sizes, density))
    return [int(np.count_nonzero(mask)) for mask in masks]


def _total(sizes: Sequence[int], density: Fraction) -> int:
    return sum(sizes) - pruned_count(sum(sizes), 1 - density)


def _relative(layer: Scores) -> Scores:
    """Scores over the root of the sum of their squares."""
    wide: Scores = np.asarray(layer, np.float64)
    norm = math.sqrt(float(np.square(np.maximum(wide, 0)).sum()))
    return wide / (norm or 1.0)


RULES: Mapping[str, Callable[[Sequence[Scores], Fraction], list[int]]] = {
    "owl": owl,
    "error": error,
}
