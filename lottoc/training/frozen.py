"""Sparse fine-tuning: only what a mask keeps moves, everything else stays as it is, to the bit."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lottoc.training.masked import HeldMasks


class FrozenMasks(HeldMasks):
    """Weights outside of their masks keep the values they came with.

    They are put back after every step, so that neither momentum nor weight decay moves one. What
    the optimizer remembers of them is zero, as for pruned weights.
    """

    def __init__(self, masked: Iterable[tuple[nn.Parameter, NDArray[np.bool_]]]) -> None:
        super().__init__(masked)
        self.kept = [
            weight.detach().view(bits.dtype) & ~bits
            for weight, bits in zip(self.weights, self.bits, strict=True)
        ]
        """The bits of what is frozen, zero where the mask keeps."""

    def before_step(self) -> None:
        """Nothing is there that weight decay could tell the optimizer of."""
        super().project_weights()

    def project_weights(self) -> None:
        """Put back what is frozen."""
        super().project_weights()
        for weight, bits, kept in zip(self.weights, self.bits, self.kept, strict=True):
            weight.detach().view(bits.dtype).bitwise_or_(kept)


def train_alone(model: nn.Module, weights: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Nothing but these weights is trained: other parameters ask for no gradient. Gives them."""
    moving = list(weights)
    model.requires_grad_(False)
    for weight in moving:
        weight.requires_grad_(True)
    return moving


def freeze_rest(model: nn.Module, weights: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Nothing but these weights moves: other parameters ask for no gradient, and layers with
    running statistics use them and change none. Gives the weights."""
    moving = train_alone(model, weights)
    for module in model.modules():
        if getattr(module, "running_mean", None) is not None:
            module.eval()
    return moving
