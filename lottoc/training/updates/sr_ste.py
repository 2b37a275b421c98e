"""SR-STE: dense weights in training, the best N of every M of them in every forward pass.

Source: Zhou, Ma, Zhu, Liu, Zhang, Yuan, Sun, Li 2021, "Learning N:M Fine-grained Structured Sparse
Neural Networks From Scratch", §3.2, equation 9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lottoc.diagnostics import input_error
from lottoc.masks.mask import Mask
from lottoc.masks.patterns import Pattern, parse
from lottoc.masks.select import NonFiniteScores
from lottoc.training.masked import HeldMasks, as_bits
from lottoc.training.module import to_array, to_tensor
from lottoc.training.moving import Masked, wide
from lottoc.training.state import DENSE, MASK


@dataclass(frozen=True)
class SrSte:
    """Every step anew: the N highest magnitudes of M; `decay` is λ."""

    pattern: str
    decay: float = 2e-4

    def __post_init__(self) -> None:
        parse(self.pattern)
        if self.decay < 0:
            raise ValueError(f"decay is {self.decay:g}, not at least 0")

    def held(self, layers: Sequence[Masked]) -> StraightThrough:
        """What the training loop calls."""
        return StraightThrough(layers, parse(self.pattern), self.decay)


class StraightThrough(HeldMasks):
    """The network computes with masked weights, the optimizer moves the dense ones.

    With g the gradient of the masked weights and m the mask, the dense weights w get
    g + decay · (1 - m) · w: straight through the mask, and towards zero where it prunes.
    """

    def __init__(self, layers: Sequence[Masked], pattern: Pattern, decay: float) -> None:
        super().__init__((layer.weight, layer.mask) for layer in layers)
        self.names = [layer.name for layer in layers]
        self.pattern, self.decay = pattern, decay
        self.dense = [
            w.detach().clone() if layer.dense is None else to_tensor(layer.dense)
            for layer, w in zip(layers, self.weights, strict=True)
        ]

    def begin(self, optimizer: torch.optim.Optimizer) -> None:
        """Mask what came in; the optimizer's memory is of dense weights and stays."""
        self._mask(0)

    def after_backward(self, done: int) -> None:
        """Gradients pass straight through."""

    def incoming(self, index: int, gradient: torch.Tensor, done: int) -> torch.Tensor:
        """Straight through."""
        return gradient

    def before_step(self) -> None:
        """Hand the optimizer the dense weights and their gradients."""
        for weight, dense, bits in zip(self.weights, self.dense, self.bits, strict=True):
            weight.detach().copy_(dense)
            if weight.grad is not None:
                pruned = dense.view(bits.dtype).bitwise_and(~bits).view(dense.dtype)
                weight.grad.add_(pruned, alpha=self.decay)

    def after_step(self, done: int, *optimizers: torch.optim.Optimizer) -> None:
        """Keep the dense weights aside and mask the network again."""
        for weight, dense in zip(self.weights, self.dense, strict=True):
            dense.copy_(weight.detach())
        self._mask(done)

    def _mask(self, done: int) -> None:
        try:
            self.masks = [self._best(dense) for dense in self.dense]
        except NonFiniteScores as error:
            raise input_error(
                "training-diverged",
                f"a weight is not a finite number after step {done}",
                help=("lower the learning rate, add warmup, or set clip_norm",),
            ) from error
        self.bits = [as_bits(w, mask) for w, mask in zip(self.weights, self.masks, strict=True)]
        for weight, dense in zip(self.weights, self.dense, strict=True):
            weight.detach().copy_(dense)
        self.project_weights()

    def _best(self, dense: torch.Tensor) -> NDArray[np.bool_]:
        scores, density = np.abs(wide(dense)), self.pattern.density
        assert density is not None
        (count,) = self.pattern.counts("layerwise", [scores.shape], density)
        return self.pattern.keep(scores, count)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Masks, and the dense weights that a training goes on from."""
        found: dict[str, NDArray[Any]] = {}
        for name, mask, dense in zip(self.names, self.masks, self.dense, strict=True):
            found[f"{MASK}{name}"] = Mask.from_bool(mask).bits
            found[f"{DENSE}{name}"] = to_array(dense)
        return found

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take the dense weights of a checkpoint."""
        for name, dense in zip(self.names, self.dense, strict=True):
            dense.copy_(to_tensor(arrays[f"{DENSE}{name}"]))
        self._mask(0)
