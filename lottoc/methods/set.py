"""Sparse evolutionary training: sparse from the start, connections grown at random.

Source: Mocanu et al. 2018, "Scalable training of artificial neural networks with adaptive sparse
connectivity inspired by network science".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from lottoc.methods.lab import Lab, M, S, W
from lottoc.methods.swaps import Swaps


@dataclass(frozen=True)
class Set(Swaps):
    """Train sparse from the start; drop by magnitude, grow at random.

    As `rigl`, but what grows is drawn at random from `seed`, step and layer.
    """

    update: ClassVar[str] = "set"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed < 0:
            raise ValueError(f"seed {self.seed} is negative")

    def options(self, lab: Lab[W, S, M]) -> dict[str, Any]:
        """Options of the rule."""
        return {**super().options(lab), "seed": self.seed}
