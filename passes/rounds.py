"""What pruning in rounds keeps after each of them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from lottoc.masks.allocate import schedule
from lottoc.masks.patterns import parse


@dataclass(frozen=True)
class Target:
    """What one pruning round keeps: a share of all weights, under a pattern."""

    density: str
    pattern: str


def stages(before: Target | None, after: Target, count: int) -> list[Target]:
    """What to keep after each of `count` rounds that each prune an equal share of what is left.

    Patterns have rounds of their own, such as fewer and fewer of every M.
    """
    density, pattern = Fraction(after.density), parse(after.pattern)
    if before is None or before.pattern != after.pattern:
        start = Fraction(before.density) if before else Fraction(1)
        rounds = [(d, str(p)) for d, p in pattern.rounds(density, count) if d < start]
        return [Target(str(d), p) for d, p in rounds] or [after]
    start = Fraction(before.density)
    pruned = 1 - density / start if start else Fraction(0)
    return [Target(str(start * (1 - s)), after.pattern) for s in schedule(pruned, count)]
