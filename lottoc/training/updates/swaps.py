"""What updates have in common that swap connections every so many steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lottoc.masks.regrow import cosine, dropped, swap
from lottoc.masks.select import Scores
from lottoc.training.moving import Masked, Moment, MovingMasks


@dataclass(frozen=True)
class Swaps:
    """Every `every` steps before `until`, a share of each layer's connections is replaced.

    The share is `drop` at first and falls to 0 along a cosine; every layer keeps its count.
    """

    every: int
    until: int
    drop: float
    needs_gradient: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every is {self.every}, not at least 1 step")
        if not 0 <= self.drop <= 1:
            raise ValueError(f"drop is {self.drop:g}, not a share between 0% and 100%")

    def held(self, layers: Sequence[Masked]) -> MovingMasks:
        """Masks that this rule moves."""
        return MovingMasks(layers, self)

    def moves_at(self, done: int) -> bool:
        """At whole multiples of `every`, before `until`."""
        return 0 < done < self.until and done % self.every == 0

    def move(self, done: int, layers: Sequence[Moment]) -> Sequence[NDArray[np.bool_]]:
        """Layer by layer."""
        share = cosine(self.drop, done, self.until)
        return [self.moved(done, layer, dropped(layer.mask, share)) for layer in layers]

    def moved(self, done: int, layer: Moment, drops: int) -> NDArray[np.bool_]:
        """The new mask of a layer that lets go of so many connections."""
        return swap(layer.weight, layer.mask, self.growth(done, layer), drops)

    def growth(self, done: int, layer: Moment) -> Scores:
        """What every weight of the layer is worth if it grows, at least 0."""
        raise NotImplementedError
