"""Lottery ticket adaptation: fine-tune, keep the largest changes, go back, fine-tune those alone.

Source: Panda, Isik, Qi, Koyejo, Weissman, Mittal 2024, "Lottery Ticket Adaptation: Mitigating
Destructive Interference in LLMs", §3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lottoc.methods.lab import Duration, Found, Lab, M, S, W

CALIBRATE = Duration(200, "steps")


@dataclass(frozen=True)
class Lota:
    """Adapt a trained model to a task by moving few of its weights.

    Fine-tunes everything for `calibrate`; the mask keeps the largest changes |w - w_0|; back at
    w_0, only what the mask keeps is trained. All else, also biases, normalization and running
    statistics, stays as it was, to the bit: `sparsity` is the share of weights that do.

    What earlier tickets have moved (`exclude`) stays too, in both trainings, so that their masks
    and this one's are disjoint (§3, LoTTO). The first training then moves free weights alone.
    """

    trains: ClassVar[bool] = True
    adapts: ClassVar[bool] = True
    patterns: ClassVar[tuple[str, ...]] = ("unstructured",)
    first_criterion: ClassVar[str] = "task_vector"
    criteria: ClassVar[tuple[str, ...]] = ("task_vector", "random")

    calibrate: Duration = CALIBRATE

    def __post_init__(self) -> None:
        if self.calibrate.amount < 1:
            raise ValueError(f"calibrate is {self.calibrate}, not at least 1 step")

    def first_step(self, lab: Lab[W, S, M]) -> int:
        """The ticket trains from the beginning."""
        return 0

    def find(self, lab: Lab[W, S, M]) -> Found[W, M]:
        """w_0 → w_F → |w_F - w_0| → masks → w_0, masked weights trained."""
        free, steps = lab.free, lab.steps(self.calibrate)
        tuned = lab.train(lab.initial, free, first=0, last=steps, frozen=free is not None)
        (target,) = lab.rounds(1)
        masks = lab.prune(lab.score(lab.difference(tuned, lab.initial)), target, free)
        final = lab.train(lab.initial, masks, first=0, last=lab.total_steps, frozen=True)
        return Found(masks, lab.initial, final)
