"""At how many places weights are used, told in as few numbers as there need be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def narrowed(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same numbers, an axis along which they are equal being there once; none, if all are."""
    for axis in range(places.ndim):
        first = np.take(places, [0], axis)
        if (places == first).all():
            places = first
    return places.reshape(()) if places.size == 1 else np.ascontiguousarray(places)
