"""`block(32, 1)`: tiles of outputs by inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lottoc.masks.allocate import Shape
from lottoc.masks.patterns.pattern import channels
from lottoc.masks.patterns.tiles import Tiles

_MOST = 999_999_999


@dataclass(frozen=True)
class Block(Tiles):
    """Tiles of `rows` outputs by `columns` inputs are kept or pruned whole, kernels included."""

    rows: int
    columns: int
    name: ClassVar[str] = "block"
    examples: ClassVar[tuple[str, ...]] = ("block(32, 1)",)
    needs: ClassVar[str] = "how many outputs and inputs a tile has"
    misfit_code: ClassVar[str] = "block-axis"
    unit: ClassVar[str] = "tile"

    def __post_init__(self) -> None:
        if not (1 <= self.rows <= _MOST and 1 <= self.columns <= _MOST):
            raise ValueError(f"a tile has from 1 to {_MOST} outputs and inputs")

    def misfit(self, shape: Shape) -> str | None:
        """Tiles must cover the weight."""
        if shape[0] % self.rows:
            return f"its output has {shape[0]} {channels(shape)}, not a multiple of {self.rows}"
        if shape[1] % self.columns:
            return f"its input has {shape[1]} {channels(shape)}, not a multiple of {self.columns}"
        return None

    def tile(self, shape: Shape) -> tuple[int, int]:
        """The same in every layer."""
        return self.rows, self.columns
