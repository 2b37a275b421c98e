"""Masks that move while a network trains; between two updates they hold like any others.

What is pruned is +0.0 in the weights and in every slot of the optimizer, so a connection that
grows starts at zero with nothing remembered, and growing changes no output of the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lottoc.diagnostics import input_error
from lottoc.masks.mask import Mask
from lottoc.masks.select import NonFiniteScores
from lottoc.training.masked import HeldMasks, as_bits
from lottoc.training.module import to_array
from lottoc.training.state import MASK


@dataclass(frozen=True)
class Moment:
    """A layer when masks move: canonical arrays of one shape, float32 or wider."""

    name: str
    weight: NDArray[Any]
    mask: NDArray[np.bool_]
    gradient: NDArray[Any] | None
    """Of every weight, pruned ones included; None for a rule that does not ask for it."""
    budget: int
    """How many weights the recipe lets the layer keep."""


class Rule(Protocol):
    """When and how masks move; the fields of its dataclass are its options in IR."""

    needs_gradient: ClassVar[bool]

    def moves_at(self, done: int) -> bool:
        """Whether masks move once so many steps are done."""

    def move(self, done: int, layers: Sequence[Moment]) -> Sequence[NDArray[np.bool_]]:
        """The new mask of every layer; raises `NonFiniteScores`."""


@dataclass(frozen=True)
class Masked:
    """A layer's weight and the mask that it starts with."""

    name: str
    weight: nn.Parameter
    mask: NDArray[np.bool_]
    budget: int
    dense: NDArray[Any] | None = None
    """The dense weight behind it, where a training goes on that keeps one."""
    scores: NDArray[Any] | None = None
    """What chose it, where a training goes on that learns them."""


class MovingMasks(HeldMasks):
    """Masks that a rule moves after some steps of the optimizer."""

    def __init__(self, layers: Sequence[Masked], rule: Rule) -> None:
        super().__init__((layer.weight, layer.mask) for layer in layers)
        self.rule = rule
        self.names = [layer.name for layer in layers]
        self.budgets = [layer.budget for layer in layers]
        self.gradients: list[NDArray[Any] | None] = [None] * len(layers)

    def after_backward(self, done: int) -> None:
        """Remember whole gradients if masks are about to move."""
        if self.rule.needs_gradient and self.rule.moves_at(done):
            grads = (weight.grad for weight in self.weights)
            self.gradients = [None if grad is None else wide(grad) for grad in grads]
        self.project_gradients()

    def incoming(self, index: int, gradient: torch.Tensor, done: int) -> torch.Tensor:
        """As for masks that stay; whole gradients add up if masks are about to move."""
        if self.rule.needs_gradient and self.rule.moves_at(done):
            before = self.gradients[index]
            self.gradients[index] = wide(gradient) if before is None else before + wide(gradient)
        return super().incoming(index, gradient, done)

    def after_step(self, done: int, *optimizers: torch.optim.Optimizer) -> None:
        """Move if it is time, then clear what is pruned."""
        self.project_weights()
        if self.rule.moves_at(done):
            self.move(done)
            self.project_weights()
            for optimizer in optimizers:
                self.project_slots(optimizer)

    def move(self, done: int) -> None:
        """Ask the rule for new masks."""
        moments = [
            Moment(name, wide(weight.detach()), mask, self._grows(gradient, mask), budget)
            for name, weight, mask, gradient, budget in zip(
                self.names, self.weights, self.masks, self.gradients, self.budgets, strict=True
            )
        ]
        try:
            moved = self.rule.move(done, moments)
        except NonFiniteScores as error:
            raise _diverged(done) from error
        self._hold(moved)

    def _grows(self, gradient: NDArray[Any] | None, mask: NDArray[np.bool_]) -> NDArray[Any] | None:
        """A layer that took no part in the loss has no gradient: nothing there wants to grow."""
        if gradient is None and self.rule.needs_gradient:
            return np.zeros(mask.shape, np.float32)
        return gradient

    def _hold(self, masks: Sequence[NDArray[np.bool_]]) -> None:
        self.masks = list(masks)
        self.bits = [as_bits(w, mask) for w, mask in zip(self.weights, masks, strict=True)]
        self.gradients = [None] * len(masks)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The masks, one bit a weight."""
        named = zip(self.names, self.masks, strict=True)
        return {f"{MASK}{name}": Mask.from_bool(mask).bits for name, mask in named}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take the masks of a checkpoint."""
        self._hold(
            [
                Mask(mask.shape, arrays[f"{MASK}{name}"]).to_bool()
                for name, mask in zip(self.names, self.masks, strict=True)
            ]
        )
        self.project_weights()


def wide(tensor: torch.Tensor) -> NDArray[Any]:
    """A copy whose numbers numpy can compare; bfloat16 and float16 become float32, exactly."""
    return to_array(tensor if tensor.element_size() >= 4 else tensor.float())


def _diverged(done: int) -> Exception:
    return input_error(
        "training-diverged",
        f"a weight or gradient is not a finite number after step {done}, when masks move",
        help=("lower the learning rate, add warmup, or set clip_norm",),
    )
