"""Gradual magnitude pruning: from dense to sparse along a cubic, while the network trains.

Source: Zhu & Gupta 2017, "To prune, or not to prune: exploring the efficacy of pruning for model
compression".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lottoc.masks.patterns import parse
from lottoc.masks.regrow import cubic
from lottoc.masks.share import keep_share
from lottoc.training.moving import Masked, Moment, MovingMasks


@dataclass(frozen=True)
class Gmp:
    """Every `every` steps from `begin` to `until` the lowest magnitudes left are pruned.

    The sparsity of a step is the cubic's, that of `until` exactly the recipe's; what is pruned
    stays pruned. `scope` ranks all layers together or gives each its own count.
    """

    every: int
    begin: int
    until: int
    density: str
    scope: str
    pattern: str
    needs_gradient: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every is {self.every}, not at least 1 step")
        if not 0 <= self.begin < self.until:
            raise ValueError(f"pruning from step {self.begin} to {self.until} goes nowhere")

    def held(self, layers: Sequence[Masked]) -> MovingMasks:
        """Masks that this rule moves."""
        return MovingMasks(layers, self)

    def moves_at(self, done: int) -> bool:
        """At multiples of `every` between `begin` and `until`, and at `until`."""
        return done == self.until or (self.begin < done < self.until and done % self.every == 0)

    def sparsity(self, done: int) -> Fraction:
        """Of all layers together, exact at the end."""
        final = 1 - Fraction(self.density)
        if done >= self.until:
            return final
        return min(final, Fraction(cubic(float(final), done, self.begin, self.until)))

    def move(self, done: int, layers: Sequence[Moment]) -> Sequence[NDArray[np.bool_]]:
        """Of what is kept, the highest magnitudes stay."""
        scores = [np.abs(layer.weight) for layer in layers]
        within = [layer.mask for layer in layers]
        density = 1 - self.sparsity(done)
        return keep_share(parse(self.pattern), self.scope, density, scores, within)
