"""How many weights each layer keeps: exact counts, round by round and layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction

Shape = Sequence[int]


def pruned_count(size: int, sparsity: Fraction) -> int:
    """⌊s·N⌋, exactly."""
    return math.floor(sparsity * size)


def schedule(sparsity: Fraction, rounds: int) -> list[Fraction]:
    """Sparsity after each round when each prunes an equal share of what is left.

    1 - (1 - s)^(i / rounds); the last is exactly s. Decimal arithmetic, the same everywhere.
    """
    with localcontext() as context:
        context.prec = 40
        density = Decimal((1 - sparsity).numerator) / Decimal((1 - sparsity).denominator)
        steps = [
            1 - Fraction(round(density ** (Decimal(i) / rounds), 15)) for i in range(1, rounds)
        ]
    return [*steps, sparsity]


def allocate(scope: str, shapes: Sequence[Shape], sparsity: Fraction) -> list[int]:
    """Kept weights of each layer under a scope that fixes them: layerwise, uniform or erk."""
    return SCOPES[scope](shapes, sparsity)


def _layerwise(shapes: Sequence[Shape], sparsity: Fraction) -> list[int]:
    """Each layer keeps n - ⌊s·n⌋."""
    sizes = [math.prod(shape) for shape in shapes]
    return [size - pruned_count(size, sparsity) for size in sizes]


def _uniform(shapes: Sequence[Shape], sparsity: Fraction) -> list[int]:
    """One density everywhere; the total is exact, remainders go to the largest parts."""
    sizes = [math.prod(shape) for shape in shapes]
    total = sum(sizes) - pruned_count(sum(sizes), sparsity)
    return _apportion([(1 - sparsity) * size for size in sizes], sizes, total)


def _erk(shapes: Sequence[Shape], sparsity: Fraction) -> list[int]:
    """Erdős–Rényi-Kernel (Evci et al. 2020, §3): density ∝ Σ dims / Π dims, at most 1."""
    sizes = [math.prod(shape) for shape in shapes]
    total = sum(sizes) - pruned_count(sum(sizes), sparsity)
    weights = [Fraction(sum(shape), size) for shape, size in zip(shapes, sizes, strict=True)]
    dense: set[int] = set()
    while True:
        sparse = [i for i in range(len(sizes)) if i not in dense]
        left = total - sum(sizes[i] for i in dense)
        if not sparse:
            return sizes
        epsilon = Fraction(left) / sum(weights[i] * sizes[i] for i in sparse)
        largest = max(weights[i] for i in sparse)
        if epsilon * largest <= 1:
            break
        dense |= {i for i in sparse if weights[i] == largest}
    shares = [
        Fraction(size) if i in dense else epsilon * weights[i] * size
        for i, size in enumerate(sizes)
    ]
    return _apportion(shares, sizes, total)


def _apportion(shares: Sequence[Fraction], sizes: Sequence[int], total: int) -> list[int]:
    """Whole numbers near the shares that add up to the total: largest remainder, ties first."""
    counts = [min(math.floor(share), size) for share, size in zip(shares, sizes, strict=True)]
    order = sorted(range(len(shares)), key=lambda i: (counts[i] - shares[i], i))
    missing = total - sum(counts)
    while missing:
        for i in order:
            if missing and counts[i] < sizes[i]:
                counts[i] += 1
                missing -= 1
    return counts


SCOPES: Mapping[str, Callable[[Sequence[Shape], Fraction], list[int]]] = {
    "layerwise": _layerwise,
    "uniform": _uniform,
    "erk": _erk,
}
