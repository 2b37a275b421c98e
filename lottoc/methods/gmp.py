"""Gradual magnitude pruning: from dense to sparse within one training.

Source: Zhu & Gupta 2017, "To prune, or not to prune: exploring the efficacy of pruning for model
compression".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lottoc.methods.lab import START, Duration, Found, Lab, M, S, W
from lottoc.methods.swaps import EVERY, check_share, share_of


@dataclass(frozen=True)
class Gmp:
    """Train dense and prune the lowest magnitudes on the way, more and more along a cubic.

    Every `every` steps from `begin` on, until `until` of the training, where the recipe's sparsity
    is reached exactly: sparsity · (1 - (1 - t)³), t from 0 to 1. What is pruned stays pruned.
    """

    trains: ClassVar[bool] = True
    invertible: ClassVar[bool] = False
    patterns: ClassVar[tuple[str, ...]] = (
        "unstructured",
        "groups",
        "fanin",
        "block",
        "rows",
        "channels",
    )
    criteria: ClassVar[tuple[str, ...]] = ("magnitude",)

    every: Duration = EVERY
    begin: Duration = START
    until: float = 0.75

    def __post_init__(self) -> None:
        check_share("until", self.until)
        if self.every.amount < 1:
            raise ValueError(f"every is {self.every}, not at least 1 step")

    def first_step(self, lab: Lab[W, S, M]) -> int:
        """The ticket trains from the beginning."""
        return 0

    def find(self, lab: Lab[W, S, M]) -> Found[W, M]:
        """θ_0 → training that prunes."""
        options = {
            "every": lab.steps(self.every),
            "begin": lab.steps(self.begin),
            "until": share_of(self.until, lab.total_steps),
        }
        masks, final = lab.train_sparse(
            "gmp", lab.initial, None, options, first=0, last=lab.total_steps
        )
        return Found(masks, lab.initial, final)
