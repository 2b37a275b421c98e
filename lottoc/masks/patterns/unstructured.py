"""`unstructured`: any mask."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from lottoc.masks.allocate import Shape, allocate
from lottoc.masks.patterns.pattern import Pattern

if TYPE_CHECKING:
    from lottoc.masks.select import Bools, Scores


@dataclass(frozen=True)
class Unstructured(Pattern):
    """Any weight may be kept and any pruned."""

    name: ClassVar[str] = "unstructured"
    examples: ClassVar[tuple[str, ...]] = ("unstructured",)
    ranks_together: ClassVar[bool] = True

    def counts(self, scope: str, shapes: Sequence[Shape], density: Fraction) -> list[int]:
        """Exact in total, weight by weight."""
        return allocate(scope, shapes, 1 - density)

    def impossible(self, shape: Shape, kept: int) -> str | None:
        """From none to all."""
        size = math.prod(shape)
        return None if 0 <= kept <= size else f"cannot keep {kept} of {size} weights"

    def keep(self, scores: Scores, kept: int, within: Bools | None = None) -> Bools:
        """The highest scores."""
        from lottoc.masks.select import keep_best

        return keep_best(scores, kept, within)

    def keep_together(
        self, scores: Sequence[Scores], kept: int, within: Sequence[Bools] | None = None
    ) -> Iterator[Bools]:
        """The highest scores of all layers."""
        from lottoc.masks.select import keep_best_global

        return keep_best_global(scores, kept, within)

    def holds(self, mask: Bools) -> bool:
        """Always."""
        return True
