"""Examples in the form that a torch model's one input wants."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.diagnostics import input_error
from lottoc.frontends.data import Arrays, InputsSource, open_inputs
from lottoc.frontends.text import TextSource, windows
from lottoc.layerwise.torch_walk import INPUT
from lottoc.layerwise.walk import Batch

_NUMBERS = 1 << 18
"""Numbers of the input that run together, unless one example has more."""


def torch_batches(data: Arrays | InputsSource | TextSource) -> list[Batch]:
    """Raises `InputError`: model-data-shape, and what reading the data raises."""
    x = examples_of(data)
    size = max(1, _NUMBERS // max(1, x[0].size))
    return [{INPUT: x[start : start + size]} for start in range(0, len(x), size)]


def examples_of(data: Arrays | InputsSource | TextSource) -> NDArray[Any]:
    """The examples of a split as the network takes them, along axis 0; raises as above."""
    if isinstance(data, Arrays):
        return data.x
    if isinstance(data, TextSource):
        return windows(data, None)
    arrays = open_inputs(data)
    if len(arrays) != 1:
        raise input_error(
            "model-data-shape",
            f"a torch model is given one array, and the data names {len(arrays)}",
            file=str(data.file),
            help=['write  npz("data.npz", x = "…")'],
        )
    (x,) = arrays.values()
    return x.astype(np.float32 if x.dtype.kind == "f" else np.int64)
