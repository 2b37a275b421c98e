"""A network and the examples it is calibrated with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from lottoc.layerwise.moments import Moment, measure_all
from lottoc.layerwise.walk import Batch, Walk
from lottoc.progress import Advance


@dataclass(frozen=True)
class Calibration:
    """What statistics of activations are gathered from."""

    walk: Walk
    batches: Sequence[Batch]
    advance: Advance

    def measure(
        self,
        layers: Sequence[str],
        make: Callable[[int], Moment],
        turn: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
    ) -> Mapping[str, NDArray[Any]]:
        """A moment of each layer's inputs, or what `turn` makes of it; one run of the network."""
        return measure_all(self.walk, layers, self.batches, make, self.advance, turn)
