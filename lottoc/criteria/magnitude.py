"""Magnitude: |w| (Han et al. 2015, §3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.signature import Layer


@dataclass(frozen=True)
class Magnitude:
    """Keep the largest |w|."""

    def score(self, weight: NDArray[Any], layer: Layer) -> NDArray[Any]:
        """|w| in float32, or float64 for float64 weights."""
        wide = np.float64 if weight.dtype == np.float64 else np.float32
        return np.abs(weight.astype(wide, copy=False))
