"""`groups(64)`: outputs in groups that share one set of inputs."""

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

_MOST = 999_999_999


@dataclass(frozen=True)
class Groups(Pattern):
    """Rows in groups of at least `least`, all of one size, that keep the same places of axis 1.

    With `permute` the rows that share a group are chosen; else they are as they follow.
    """

    least: int
    permute: bool = True
    name: ClassVar[str] = "groups"
    examples: ClassVar[tuple[str, ...]] = ("groups(64)",)
    needs: ClassVar[str] = "the least number of outputs in a group"

    def __post_init__(self) -> None:
        if not 1 <= self.least <= _MOST:
            raise ValueError(f"a group has from 1 to {_MOST} outputs")

    def counts(self, scope: str, shapes: Sequence[Shape], density: Fraction) -> list[int]:
        """Whole columns: to the nearest of the layer's density, halves up, at least one."""
        shares = own_densities(scope, shapes, density)
        return [nearest(s[1], share) * _column(s) for s, share in zip(shapes, shares, strict=True)]

    def at_least(self, shape: Shape) -> int:
        """One column."""
        return _column(shape)

    def impossible(self, shape: Shape, kept: int) -> str | None:
        """Whole columns, from one to all."""
        column = _column(shape)
        if 1 <= kept // column <= shape[1] and kept % column == 0:
            return None
        return (
            f"{self} keeps from 1 to {shape[1]} columns of {column} weights: "
            f"{kept} is none of these counts"
        )

    def keep(self, scores: Scores, kept: int, within: Bools | None = None) -> Bools:
        """The columns of the highest sums, group by group; see `keep_groups`."""
        from lottoc.masks.groups import keep_groups

        return keep_groups(scores, self.least, kept // _column(scores.shape), within, self.permute)

    def holds(self, mask: Bools) -> bool:
        """Whole kernels, the same columns in a group, as many in each."""
        from lottoc.masks.groups import are_groups

        return are_groups(mask, self.least, self.permute)


def _column(shape: Shape) -> int:
    """The weights of one place along axis 1, over all rows."""
    return math.prod(shape) // shape[1]
