"""`rows`, or `channels`: whole units, the neurons of a layer or the filters of a convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lottoc.masks.allocate import Shape
from lottoc.masks.patterns.tiles import Tiles


@dataclass(frozen=True)
class Rows(Tiles):
    """Whole rows of the weight, each an output of its layer, are kept or pruned."""

    name: ClassVar[str] = "rows"
    examples: ClassVar[tuple[str, ...]] = ("rows",)
    unit: ClassVar[str] = "row"

    def tile(self, shape: Shape) -> tuple[int, int]:
        """One row of all columns."""
        return 1, shape[1]
