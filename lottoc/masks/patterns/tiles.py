"""What `rows` and `block` have in common: whole units, ranked by the mean of their scores."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from lottoc.masks.allocate import Shape, allocate
from lottoc.masks.patterns.pattern import Pattern

if TYPE_CHECKING:
    from lottoc.masks.select import Bools, Scores


@dataclass(frozen=True)
class Tiles(Pattern):
    """Tiles of rows by columns, each with its kernels, are kept whole or pruned whole."""

    ranks_together: ClassVar[bool] = True
    unit: ClassVar[str]
    """What a tile is called."""

    @abstractmethod
    def tile(self, shape: Shape) -> tuple[int, int]:
        """Rows and columns of a unit."""

    def counts(self, scope: str, shapes: Sequence[Shape], density: Fraction) -> list[int]:
        """Each layer's count, up to whole units, at least one: never more is pruned than asked."""
        counts = allocate(scope, shapes, 1 - density)
        return [self._whole(shape, n) for shape, n in zip(shapes, counts, strict=True)]

    def at_least(self, shape: Shape) -> int:
        """One unit."""
        return self._size(shape)

    def total(self, shapes: Sequence[Shape], kept: int) -> int | None:
        """Known if all units of all layers are of one size."""
        sizes = {self._size(shape) for shape in shapes}
        if len(sizes) > 1:
            return None
        (size,) = sizes
        return max(len(shapes), -(-kept // size)) * size

    def impossible(self, shape: Shape, kept: int) -> str | None:
        """Whole units, from one to all."""
        size = self._size(shape)
        units = math.prod(shape) // size
        if kept % size == 0 and 1 <= kept // size <= units:
            return None
        return (
            f"{self} keeps from 1 to {units} {self.unit}s of {size} weights: "
            f"{kept} is none of these counts"
        )

    def keep(self, scores: Scores, kept: int, within: Bools | None = None) -> Bools:
        """The units of the highest sums."""
        from lottoc.masks.units import keep_units

        return keep_units(scores, self.tile(scores.shape), kept // self._size(scores.shape), within)

    def keep_together(
        self, scores: Sequence[Scores], kept: int, within: Sequence[Bools] | None = None
    ) -> Iterator[Bools]:
        """The fewest units of the highest means that hold so many weights; one a layer stays."""
        from lottoc.masks.units import keep_units_together

        return keep_units_together(scores, self.tile, kept, within)

    def holds(self, mask: Bools) -> bool:
        """No unit is kept in part, and not every unit is pruned."""
        from lottoc.masks.units import are_units

        return are_units(mask, self.tile(mask.shape)) and bool(mask.any())

    def _size(self, shape: Shape) -> int:
        return math.prod(self.tile(shape)) * math.prod(shape[2:])

    def _whole(self, shape: Shape, kept: int) -> int:
        size = self._size(shape)
        return max(1, -(-kept // size)) * size
