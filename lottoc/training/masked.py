"""Weights that stay exactly zero where their mask says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

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

    alone: ClassVar[bool] = False
    """Whether nothing but these parameters is trained."""

    def __init__(self, masked: Iterable[tuple[nn.Parameter, NDArray[np.bool_]]]) -> None:
        self.weights: list[nn.Parameter] = []
        self.masks: list[NDArray[np.bool_]] = []
        self.bits: list[torch.Tensor] = []
        for weight, mask in masked:
            assert mask.dtype == np.bool_, "a mask is boolean"
            assert tuple(weight.shape) == mask.shape, "a mask has the shape of its weight"
            self.weights.append(weight)
            self.masks.append(mask)
            self.bits.append(as_bits(weight, mask))

    def begin(self, optimizer: torch.optim.Optimizer) -> None:
        """Before the first step: clear what came in."""
        self.project_weights()
        self.project_slots(optimizer)

    def after_backward(self, done: int) -> None:
        """In the step that makes it `done`, when gradients are there and not clipped yet."""
        self.project_gradients()

    def before_step(self) -> None:
        """Right before the optimizer."""

    def after_step(self, done: int, *optimizers: torch.optim.Optimizer) -> None:
        """Right after the optimizer, when `done` steps are done."""
        self.project_weights()

    def incoming(self, index: int, gradient: torch.Tensor, done: int) -> torch.Tensor:
        """What a weight gets of a gradient in the step that makes it `done`.

        For loops that have no place for `after_backward`.
        """
        gradient = gradient.clone()
        _keep(gradient, self.bits[index])
        return gradient

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """What a checkpoint needs beside the network's own state."""
        return {}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `arrays` gave, with the network's own state there already."""
        self.project_weights()

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


def as_bits(weight: torch.Tensor, mask: NDArray[np.bool_]) -> torch.Tensor:
    """A mask as integers as wide as the weight's numbers: all ones where it keeps, else zero."""
    kept = torch.from_numpy(mask.astype(np.int8))
    return kept.to(_INTEGER[weight.element_size()]).neg_()


def _keep(values: torch.Tensor, bits: torch.Tensor) -> None:
    values.view(bits.dtype).bitwise_and_(bits)
