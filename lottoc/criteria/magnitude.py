"""Magnitude: |w| (Han et al. 2015, §3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lottoc.signature import Layer


@dataclass(frozen=True)
class Magnitude:
    """Keep the largest |w|."""

    statistic: ClassVar[str | None] = None

    def score(
        self, weight: NDArray[Any], layer: Layer, statistic: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """|w| in float32, or float64 for float64 weights; laid out as the weight is."""
        import numpy as np

        wide = "float64" if weight.dtype == "float64" else "float32"
        scores: NDArray[Any] = np.absolute(weight, dtype=wide)  # widens piece by piece
        return scores
