"""`fanin`: the same number of inputs for every output of a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from lottoc.masks.allocate import Shape, nearest, own_densities
from lottoc.masks.patterns.pattern import Pattern

if TYPE_CHECKING:
    from lottoc.masks.select import Bools, Scores


@dataclass(frozen=True)
class FanIn(Pattern):
    """Every row of a layer's weight keeps as many weights, each the best of its own."""

    name: ClassVar[str] = "fanin"
    examples: ClassVar[tuple[str, ...]] = ("fanin",)

    def counts(self, scope: str, shapes: Sequence[Shape], density: Fraction) -> list[int]:
        """A whole number a row: to the nearest of the layer's density, halves up, at least one."""
        shares = own_densities(scope, shapes, density)
        return [
            nearest(math.prod(shape[1:]), share) * shape[0]
            for shape, share in zip(shapes, shares, strict=True)
        ]

    def at_least(self, shape: Shape) -> int:
        """One weight a row."""
        return shape[0]

    def impossible(self, shape: Shape, kept: int) -> str | None:
        """The same whole number a row, from one to all."""
        most = math.prod(shape[1:])
        if kept % shape[0] == 0 and 1 <= kept // shape[0] <= most:
            return None
        return (
            f"fanin keeps from 1 to {most} weights in each of {shape[0]} rows: "
            f"{kept} is none of these counts"
        )

    def keep(self, scores: Scores, kept: int, within: Bools | None = None) -> Bools:
        """The highest scores of each row."""
        from lottoc.masks.fanin import keep_per_row

        return keep_per_row(scores, kept // scores.shape[0], within)

    def holds(self, mask: Bools) -> bool:
        """As many in each row, and some."""
        from lottoc.masks.fanin import are_per_row

        return are_per_row(mask) and bool(mask.any())
