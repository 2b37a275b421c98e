"""RigL: drop by magnitude, grow by gradient.

Source: Evci, Gale, Menick, Castro, Elsen 2020, "Rigging the Lottery: Making All Tickets Winners".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lottoc.masks.select import Scores
from lottoc.training.moving import Moment
from lottoc.training.updates.swaps import Swaps


@dataclass(frozen=True)
class Rigl(Swaps):
    """Grows where the gradient of the step's own batch is largest, pruned weights included."""

    def growth(self, done: int, layer: Moment) -> Scores:
        """|∂L/∂w|."""
        assert layer.gradient is not None
        growth: Scores = np.abs(layer.gradient)
        return growth
