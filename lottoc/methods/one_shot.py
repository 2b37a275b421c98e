"""Prune once, before any training: what deployment does, and pruning at initialization."""

from __future__ import annotations

from dataclasses import dataclass

from lottoc.methods.lab import Found, Lab, M, S, W


@dataclass(frozen=True)
class OneShot:
    """Score the weights the model comes with, prune, and train what is left if there is a training.

    Criteria that prune in rounds, such as synflow, do so without any training in between.
    To prune once after training use `imp(rounds = 1)`.
    """

    def first_step(self, lab: Lab[W, S, M]) -> int:
        """The ticket trains from the beginning."""
        return 0

    def find(self, lab: Lab[W, S, M]) -> Found[W, M]:
        """θ_0 → scores → masks → training."""
        (target,) = lab.rounds(1)
        masks, start = lab.cut(lab.initial, target)
        final = lab.train(start, masks, first=0, last=lab.total_steps)
        return Found(masks, start, final)
