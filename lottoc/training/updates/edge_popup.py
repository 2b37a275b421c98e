"""Edge-popup: scores are trained, the best of them say which weights the network computes with.

Source: Ramanujan, Wortsman, Kembhavi, Farhadi, Rastegari 2020, "What's Hidden in a Randomly
Weighted Neural Network?", §3.2, equations 3 to 5; as in the authors' code,
magnitudes of scores are ranked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from lottoc.diagnostics import input_error
from lottoc.masks.mask import Mask, stream
from lottoc.masks.patterns import Pattern, parse
from lottoc.masks.select import NonFiniteScores
from lottoc.masks.share import keep_share
from lottoc.training.masked import HeldMasks, as_bits
from lottoc.training.module import to_array, to_tensor
from lottoc.training.moving import Masked, wide
from lottoc.training.state import DENSE, MASK, SCORE


@dataclass(frozen=True)
class EdgePopup:
    """After every step the weights with the highest |score| are kept, as `scope` spreads them."""

    seed: int
    density: str
    scope: str
    pattern: str
    trains_weights: ClassVar[bool] = False

    def __post_init__(self) -> None:
        parse(self.pattern)
        if self.seed < 0:
            raise ValueError(f"seed {self.seed} is negative")

    def held(self, layers: Sequence[Masked]) -> PopUp:
        """What the training loop calls."""
        return PopUp(layers, self)

    def kept(self, scores: Sequence[NDArray[Any]]) -> Sequence[NDArray[np.bool_]]:
        """The masks of scores of all layers; raises `NonFiniteScores`."""
        pattern: Pattern = parse(self.pattern)
        best = [np.abs(layer) for layer in scores]
        return keep_share(pattern, self.scope, Fraction(self.density), best)

    def drawn(self, layer: Masked) -> torch.Tensor:
        """Scores to begin with, uniform between ±1/√fan-in, of the weight's type."""
        bound = 1 / math.sqrt(math.prod(layer.mask.shape[1:]))
        drawn = stream(self.seed, f"edge_popup/{layer.name}").uniform(
            -bound, bound, layer.mask.shape
        )
        return torch.from_numpy(drawn).to(layer.weight.dtype)


class PopUp(HeldMasks):
    """The network computes with masked weights that never change, the optimizer moves scores.

    With w the weights, m the mask and G the gradient of m · w, a score s gets sign(s) · w · G,
    straight through the choice of the best and through the magnitude, kept or not.
    """

    alone = True

    def __init__(self, layers: Sequence[Masked], rule: EdgePopup) -> None:
        super().__init__((layer.weight, layer.mask) for layer in layers)
        self.names = [layer.name for layer in layers]
        self.rule = rule
        self.fixed = [
            w.detach().clone() if layer.dense is None else to_tensor(layer.dense)
            for layer, w in zip(layers, self.weights, strict=True)
        ]
        self.scores = [
            rule.drawn(layer) if layer.scores is None else to_tensor(layer.scores)
            for layer in layers
        ]

    def begin(self, optimizer: torch.optim.Optimizer) -> None:
        """Mask what came in; the optimizer's memory is of scores and stays."""
        self._mask(0)

    def after_backward(self, done: int) -> None:
        """Gradients of scores take the place of those of weights."""
        for weight, fixed, scores in zip(self.weights, self.fixed, self.scores, strict=True):
            if weight.grad is not None:
                weight.grad.mul_(fixed).mul_(scores.sign())

    def before_step(self) -> None:
        """Hand the optimizer the scores."""
        for weight, scores in zip(self.weights, self.scores, strict=True):
            weight.detach().copy_(scores)

    def after_step(self, done: int, *optimizers: torch.optim.Optimizer) -> None:
        """Take the scores back and mask the network by them."""
        for weight, scores in zip(self.weights, self.scores, strict=True):
            scores.copy_(weight.detach())
        self._mask(done)

    def _mask(self, done: int) -> None:
        try:
            self.masks = list(self.rule.kept([wide(scores) for scores in self.scores]))
        except NonFiniteScores as error:
            raise input_error(
                "training-diverged",
                f"a score is not a finite number after step {done}",
                help=("lower the learning rate, add warmup, or set clip_norm",),
            ) from error
        self.bits = [as_bits(w, mask) for w, mask in zip(self.weights, self.masks, strict=True)]
        for weight, fixed in zip(self.weights, self.fixed, strict=True):
            weight.detach().copy_(fixed)
        self.project_weights()

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Masks, all weights and scores, which a training goes on from."""
        found: dict[str, NDArray[Any]] = {}
        for name, mask, fixed, scores in zip(
            self.names, self.masks, self.fixed, self.scores, strict=True
        ):
            found[f"{MASK}{name}"] = Mask.from_bool(mask).bits
            found[f"{DENSE}{name}"] = to_array(fixed)
            found[f"{SCORE}{name}"] = to_array(scores)
        return found
