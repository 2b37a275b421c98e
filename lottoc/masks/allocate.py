"""How many weights each layer keeps: exact counts, round by round and layer by layer.

Counts are monotone: pruning more never lets a layer keep more, so that every round of a method
can choose within what the round before it kept.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal
from fractions import Fraction

Shape = Sequence[int]


def pruned_count(size: int, sparsity: Fraction) -> int:
    """⌊s·N⌋, exactly."""
    return math.floor(sparsity * size)


def schedule(sparsity: Fraction, rounds: int) -> list[Fraction]:
    """Sparsity after each of `rounds` ≥ 1 rounds that each prune an equal share of what is left.

    1 - (1 - s)^(i / rounds) to 15 decimal places, never falling; the last is exactly s. Decimal
    arithmetic, the same everywhere.
    """
    context = Context(prec=40)
    left = 1 - sparsity
    density = context.divide(Decimal(left.numerator), Decimal(left.denominator))
    powers = [
        context.power(density, context.divide(Decimal(i), Decimal(rounds)))
        for i in range(1, rounds)
    ]
    # rounding may step over a last density below 1e-15
    return [*(min(1 - Fraction(round(power, 15)), sparsity) for power in powers), sparsity]


def allocate(scope: str, shapes: Sequence[Shape], sparsity: Fraction) -> list[int]:
    """Kept weights of each layer under a scope that fixes them: layerwise, uniform or erk.

    Layers are given by their shapes, with no dimension 0. Each count is from 0 to the layer's
    size; none rises with sparsity. Under uniform and erk they add up to N - ⌊s·N⌋ for N weights.
    """
    return SCOPES[scope](shapes, sparsity)


def nearest(of: int, density: Fraction) -> int:
    """That share of a number, at least one: to the nearest, halves up."""
    return max(1, math.floor(density * of + Fraction(1, 2)))


def own_densities(scope: str, shapes: Sequence[Shape], density: Fraction) -> list[Fraction]:
    """The share each layer keeps where layers are not ranked: its own under erk, else that of all.

    Only erk's shares differ by more than the rounding to whole weights.
    """
    if scope != "erk":
        return [density] * len(shapes)
    counts = allocate(scope, shapes, 1 - density)
    return [Fraction(n, math.prod(shape)) for n, shape in zip(counts, shapes, strict=True)]


def _layerwise(shapes: Sequence[Shape], sparsity: Fraction) -> list[int]:
    """Each layer keeps n - ⌊s·n⌋."""
    sizes = [math.prod(shape) for shape in shapes]
    return [size - pruned_count(size, sparsity) for size in sizes]


def _uniform(shapes: Sequence[Shape], sparsity: Fraction) -> list[int]:
    """One density everywhere, to the nearest weight; the total is exact."""
    sizes = [math.prod(shape) for shape in shapes]
    return apportion(sizes, sizes, sum(sizes) - pruned_count(sum(sizes), sparsity))


def _erk(shapes: Sequence[Shape], sparsity: Fraction) -> list[int]:
    """Erdős–Rényi-Kernel (Evci et al. 2020, §3): density ε · Σ dims / Π dims, at most 1.

    So a layer keeps ε · Σ dims weights, or all it has, and ε follows from the total.
    """
    sizes = [math.prod(shape) for shape in shapes]
    total = sum(sizes) - pruned_count(sum(sizes), sparsity)
    return apportion([sum(shape) for shape in shapes], sizes, total)


def apportion(claims: Sequence[int], sizes: Sequence[int], total: int) -> list[int]:
    """Divide a total in proportion to claims, none above its size; ties favour the earlier.

    The divisor method of Webster (Balinski & Young, "Fair Representation", 1982): unlike
    largest remainders, a larger total never makes a part smaller.
    """
    counts = _below(claims, sizes, total)
    # one more goes where (count + 1/2) / claim is least; at most a few a layer are missing
    heap = [
        (Fraction(2 * count + 1, claim), i)
        for i, (claim, count, size) in enumerate(zip(claims, counts, sizes, strict=True))
        if count < size
    ]
    heapq.heapify(heap)
    for _ in range(total - sum(counts)):
        _, i = heap[0]
        counts[i] += 1
        if counts[i] < sizes[i]:
            heapq.heapreplace(heap, (Fraction(2 * counts[i] + 1, claims[i]), i))
        else:
            heapq.heappop(heap)
    return counts


def _below(claims: Sequence[int], sizes: Sequence[int], total: int) -> list[int]:
    """Counts that every division of the total gives at least: see `apportion`.

    Where each part is min(size, ε · claim) and they add up to the total, Webster's ε is at
    most (number of parts / 2) / Σ claims of unfilled parts lower, and rounding takes half more.
    """
    ratios = sorted(range(len(sizes)), key=lambda i: Fraction(sizes[i], claims[i]))
    left, claimed = total, sum(claims)
    for done, i in enumerate(ratios):
        epsilon = Fraction(left, claimed)
        if epsilon * claims[i] <= sizes[i]:
            lower = epsilon - Fraction(len(ratios) - done, 2 * claimed)
            break
        left, claimed = left - sizes[i], claimed - claims[i]
    else:
        return list(sizes)
    half = Fraction(1, 2)
    return [
        min(size, max(0, math.ceil(lower * claim - half)))
        for claim, size in zip(claims, sizes, strict=True)
    ]


SCOPES: Mapping[str, Callable[[Sequence[Shape], Fraction], list[int]]] = {
    "layerwise": _layerwise,
    "uniform": _uniform,
    "erk": _erk,
}

BY_SCORES = ("owl", "error")
"""Scopes under which the scores say how much each layer keeps: `lottoc.masks.shares`."""
