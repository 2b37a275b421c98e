"""Sparse evolutionary training: drop by magnitude, grow at random.

Source: Mocanu et al. 2018, "Scalable training of artificial neural networks with adaptive sparse
connectivity inspired by network science". As in the code of RigL's authors, the lowest magnitudes
of either sign go together, and the share falls along a cosine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lottoc.masks.mask import stream
from lottoc.masks.select import Scores
from lottoc.training.moving import Moment
from lottoc.training.updates.swaps import Swaps


@dataclass(frozen=True)
class Set(Swaps):
    """Grows anywhere among what is not kept; random numbers depend on seed, step and layer."""

    seed: int = 0
    needs_gradient: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed < 0:
            raise ValueError(f"seed {self.seed} is negative")

    def growth(self, done: int, layer: Moment) -> Scores:
        """Raw output of PCG64, never 0."""
        size = layer.mask.size
        raw = stream(self.seed, f"{layer.name}@{done}").bit_generator.random_raw(-(-size // 2))
        keys = raw.astype("<u8", copy=False).view("<u4")[:size].reshape(layer.mask.shape)
        return keys.astype(np.float64) + 1
