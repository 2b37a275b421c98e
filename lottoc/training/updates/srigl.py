"""Structured RigL: constant fan-in held while masks move, neurons without salience ablated.

Source: Lasby, Golubeva, Evci, Nica, Ioannou 2024, "Dynamic Sparse Training with Structured
Sparsity", §3. Where a row keeps too many, its lowest magnitudes go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lottoc.masks.cells import cells_of
from lottoc.masks.patterns import Pattern, parse
from lottoc.masks.regrow import alive_rows, cosine, dropped, swap_rows
from lottoc.training.moving import Moment
from lottoc.training.updates.swaps import Swaps


@dataclass(frozen=True)
class Srigl(Swaps):
    """As RigL on the cells of a pattern: outputs, M neighbours, or groups that share columns.

    `ablate` is γ: an output with fewer than γ · fan-in salient connections dies, and its share
    goes to the others. It is 0 for every pattern but `fanin`, and for `whole` layers.
    """

    pattern: str
    ablate: float = 0.0
    whole: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.ablate <= 1:
            raise ValueError(f"ablate is {self.ablate:g}, not a share between 0% and 100%")
        if self.ablate and self.kind.name != "fanin":
            raise ValueError(f"no output can be ablated where masks are {self.pattern}")

    @cached_property
    def kind(self) -> Pattern:
        """The pattern; raises `ValueError`."""
        return parse(self.pattern)

    def move(self, done: int, layers: Sequence[Moment]) -> Sequence[NDArray[np.bool_]]:
        """Layer by layer, on cells."""
        share = cosine(self.drop, done, self.until)
        return [self._moved(layer, share) for layer in layers]

    def _moved(self, layer: Moment, share: float) -> NDArray[np.bool_]:
        assert layer.gradient is not None
        cells = cells_of(self.kind, layer.mask)
        weights, growth = cells.fold(np.abs(layer.weight)), cells.fold(np.abs(layer.gradient))
        mask = cells.fold(layer.mask.astype(np.uint8)) > 0
        drops = dropped(mask, share)
        alive, fan_in = np.ones(len(mask), dtype=np.bool_), int(np.count_nonzero(mask[0]))
        if self.ablate and layer.name not in self.whole:
            alive = alive_rows(weights, mask, growth, drops, layer.budget, self.ablate)
            fan_in = min(mask.shape[1], layer.budget // int(np.count_nonzero(alive)))
        elif self.kind.name == "fanin":
            fan_in = layer.budget // len(mask)
        return cells.unfold(swap_rows(weights, mask, growth, drops, fan_in, alive))
