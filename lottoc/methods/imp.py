"""Iterative magnitude pruning with rewinding: train, prune, go back, again.

Sources: Frankle & Carbin 2019 (rounds, rewinding to θ_0), Frankle et al. 2020 (rewinding to θ_k),
Renda et al. 2020 (weight rewinding, learning-rate rewinding, fine-tuning).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from lottoc.methods.lab import START, Duration, Found, Lab, M, OptimizerState, S, W


@dataclass(frozen=True)
class Imp:
    """`rounds` times: score the trained weights, prune an equal share of what is left, retrain.

    `retrain` says from where: `rewind` takes the weights of step `rewind` again,
    `learning_rate` keeps the trained weights and takes only the schedule back to that step,
    `finetune` keeps both and goes on for as many steps at the last learning rate.
    `optimizer = keep` rewinds the optimizer's state with the weights, masked; `fresh` clears it.
    """

    trains: ClassVar[bool] = True

    rounds: int = 1
    rewind: Duration = START
    retrain: Literal["rewind", "learning_rate", "finetune"] = "rewind"
    optimizer: OptimizerState = "fresh"

    def first_step(self, lab: Lab[W, S, M]) -> int:
        """k, in steps."""
        return lab.steps(self.rewind)

    def find(self, lab: Lab[W, S, M]) -> Found[W, M]:
        """θ_k is one value, used again by every round: that is all that rewinding is."""
        k, end = self.first_step(lab), lab.total_steps
        theta_k = lab.train(lab.initial, first=0, last=k)
        start = theta_k
        final = lab.train(theta_k, first=k, last=end, optimizer="keep" if k else "fresh")
        masks: M | None = None
        for number, target in enumerate(lab.rounds(self.rounds), start=1):
            masks = lab.select(final, target, within=masks)
            start = theta_k if self.retrain == "rewind" else final
            final = lab.train(
                start,
                masks,
                first=k,
                last=end,
                optimizer=self.optimizer,
                lr_at=end - 1 if self.retrain == "finetune" else None,
            )
            lab.observe(f"round {number}", final, masks)
        assert masks is not None  # the checker refuses rounds < 1
        return Found(masks, start, final)
