"""Convolutions as matrices: a weight [out, in, *kernel] is one of [out, places of kernel · in].

Channels of one place are neighbours, as a pattern along axis 1 has them (Frantar & Alistarh 2023
and Mishra et al. 2021 prune N of every M channels, not of every M places). A linear layer's weight
is such a matrix already.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_matrix(weight: NDArray[Any]) -> NDArray[Any]:
    """[out, in, *kernel] as [out, places · in]; a matrix stays itself."""
    if weight.ndim == 2:
        return weight
    return np.ascontiguousarray(np.moveaxis(weight, 1, -1)).reshape(len(weight), -1)


def as_weight(matrix: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """What `as_matrix` was given, of that shape."""
    if len(shape) == 2:
        return matrix
    turned = matrix.reshape(shape[0], *shape[2:], shape[1])
    return np.ascontiguousarray(np.moveaxis(turned, -1, 1))


def per_input(numbers: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """A number for each column of the matrix as one for each place of a weight, [in, *kernel]."""
    columns = math.prod(shape[1:])
    assert numbers.shape == (columns,), f"{numbers.shape} for a weight {shape}"
    found: NDArray[Any] = as_weight(numbers[None], (1, *shape[1:]))[0]
    return found
