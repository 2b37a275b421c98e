"""Weights that stay exactly zero where their mask says so."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

_INTEGER = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""The integer type as wide as a floating-point number of so many bytes."""


class HeldMasks:
    """Parameters together with their masks (True = keep).

    A mask is kept as bits, all ones or all zeros an entry, and applied by a bitwise AND: unlike a
    product it turns NaN, infinity and -0.0 into +0.0, and unlike a selection it is fast.
    """

    def __init__(self, masked: Iterable[tuple[nn.Parameter, NDArray[np.bool_]]]) -> None:
        self.weights: list[nn.Parameter] = []
        self.bits: list[torch.Tensor] = []
        for weight, mask in masked:
            assert mask.dtype == np.bool_, "a mask is boolean"
            assert tuple(weight.shape) == mask.shape, "a mask has the shape of its weight"
            kept = torch.from_numpy(mask.astype(np.int8))
            self.weights.append(weight)
            self.bits.append(kept.to(_INTEGER[weight.element_size()]).neg_())

    def project_weights(self) -> None:
        """Set pruned weights to +0.0."""
        for weight, bits in zip(self.weights, self.bits, strict=True):
            _keep(weight.detach(), bits)

    def project_slots(self, optimizer: torch.optim.Optimizer) -> None:
        """Set what an optimizer remembers of pruned weights to +0.0."""
        for weight, bits in zip(self.weights, self.bits, strict=True):
            for slot in optimizer.state.get(weight, {}).values():
                if torch.is_tensor(slot) and slot.shape == bits.shape:
                    _keep(slot, bits)

    def project_gradients(self) -> None:
        """Set gradients of pruned weights to +0.0; a weight without a gradient stays without."""
        for weight, bits in zip(self.weights, self.bits, strict=True):
            if weight.grad is not None:
                _keep(weight.grad, bits)


def _keep(values: torch.Tensor, bits: torch.Tensor) -> None:
    values.view(bits.dtype).bitwise_and_(bits)
