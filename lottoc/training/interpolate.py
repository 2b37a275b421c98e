"""Networks on the line between two, as instability analysis looks at them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lottoc.frontends.data import Arrays
from lottoc.training.forward import forward
from lottoc.training.module import load_model, state_of
from lottoc.training.settings import fixed_threads
from lottoc.training.state import MODEL, State

_BATCH = 1000


def interpolate(
    model: nn.Module, first: State, second: State, at: Fraction, data: Arrays, threads: int = 1
) -> State:
    """(1 - at) · first + at · second, number by number, in float64; both ends are exact.

    What is no floating-point number is that of `first`. Running statistics belong to weights, and
    those on the way are nobody's: they are taken anew, as means over batches of the examples, at
    the ends too. `model` is overwritten. Raises `InputError` (state-mismatch, torch-forward).
    """
    arrays = {
        f"{MODEL}{name}": _between(array, second.arrays[f"{MODEL}{name}"], at)
        for name, array in first.part(MODEL).items()
    }
    state = State(arrays, first.step)
    load_model(model, state)
    if not _tracking(model):
        return state
    with fixed_threads(threads), torch.no_grad():
        _take_statistics(model, data)
    return state_of(model, None, first.step)


def _between(first: NDArray[Any], second: NDArray[Any], at: Fraction) -> NDArray[Any]:
    kind = first.dtype
    floating = kind.name == "bfloat16" or np.issubdtype(kind, np.floating)
    if at == 0 or not floating:
        return first
    if at == 1:
        return second
    wide = (1 - float(at)) * first.astype(np.float64) + float(at) * second.astype(np.float64)
    return wide.astype(kind)


def _tracking(model: nn.Module) -> list[Any]:
    found = [module for module in model.modules() if hasattr(module, "running_mean")]
    return [module for module in found if module.running_mean is not None]


def _take_statistics(model: nn.Module, data: Arrays) -> None:
    """Cumulative means over the examples in their order; nothing else of the network is in its
    training mode, and what momentum statistics have comes back."""
    model.eval()
    before = []
    for module in _tracking(model):
        before.append((module, module.momentum))
        module.reset_running_stats()
        module.momentum = None
        module.train()
    try:
        x = torch.from_numpy(data.x)
        for start in range(0, len(x), _BATCH):
            part = x[start : start + _BATCH]
            if len(part) > 1 or len(x) == 1:
                forward(model, part.clone())
    finally:
        for module, momentum in before:
            module.momentum = momentum
        model.eval()
