"""The arithmetic of layers in int8: bytes for activations, sums in int32.

An activation that was seen between `low` <= 0 and `high` >= 0 is a byte q, uint8, that means
scale * (q - zero):

    scale = (high - low) / 255 in float32, or 1 where that is 0
    zero  = -low / scale to the nearest, so that 0 is a byte exactly
    q     = x / scale + zero to the nearest, ties to even, cut off at 0 and 255

A layer multiplies bytes with the int8 weights of `values`, adds up in int32, where its bias is as
well, and its output is a byte again:

    s = sum w * (q - zero) + bias / (scale * scale of the row), to the nearest
    y = s * (scale * scale of the row / scale of y) + zero of y, to the nearest, cut off

So of an output whose inputs and itself stay within what was seen, |y - exact| is at most

    scale / 2 * (sum |w| + 1 scale of the row) + scale of y / 2  beside what rounding weights costs.

This is QLinearConv of the ONNX standard, which onnxruntime makes of the layers written here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVELS = 255
LARGEST_SUM = (1 << 31) - 1


@dataclass(frozen=True)
class Scale:
    """What the bytes of an activation mean: `scale` * (byte - `zero`)."""

    scale: float
    zero: int


def scale_of(low: float, high: float) -> Scale:
    """For numbers seen between `low` and `high`, both finite; 0 is always among them."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / LEVELS)
    if not scale >= np.finfo(np.float32).tiny:  # nothing ever fired, or as good as nothing
        return Scale(1.0, 0)
    zero = int(np.clip(np.rint(-low / float(scale)), 0, LEVELS))
    return Scale(float(scale), zero)


def bias_numbers(
    bias: NDArray[np.float32], scale: Scale, scales: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """A bias [out] in units of the sums of its rows, and those units; `scales` are of the rows."""
    units = np.float32(scale.scale) * scales
    units = np.where(units > 0, units, np.float32(1))
    steps = np.rint(bias.astype(np.float64) / units.astype(np.float64))
    return np.clip(steps, -LARGEST_SUM, LARGEST_SUM).astype(np.int32), units
