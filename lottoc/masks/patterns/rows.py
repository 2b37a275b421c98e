"""`rows`, or `channels`: whole units, the neurons of a layer or the filters of a convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lottoc.masks.allocate import Shape
from lottoc.masks.patterns.tiles import Tiles

if TYPE_CHECKING:
    from lottoc.signature import Layer

_SHARED = {
    "attention": "a row is one channel of a head, whose other channels are read with it",
    "recurrent": "a row is one gate of a unit, whose other gates stay",
}
"""Kinds of layers whose rows are parts of what could leave."""


@dataclass(frozen=True)
class Rows(Tiles):
    """Whole rows of the weight, each an output of its layer, are kept or pruned."""

    name: ClassVar[str] = "rows"
    examples: ClassVar[tuple[str, ...]] = ("rows",)
    unit: ClassVar[str] = "row"

    def unfit(self, layer: Layer) -> tuple[str, str] | None:
        """A row that is no unit by itself cannot leave the network."""
        reason = _SHARED.get(layer.kind)
        return super().unfit(layer) if reason is None else ("rows-shared", reason)

    def tile(self, shape: Shape) -> tuple[int, int]:
        """One row of all columns."""
        return 1, shape[1]
