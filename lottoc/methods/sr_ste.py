"""SR-STE: N:M from the start with dense weights behind the masks.

Source: Zhou, Ma, Zhu, Liu, Zhang, Yuan, Sun, Li 2021, "Learning N:M Fine-grained Structured Sparse
Neural Networks From Scratch".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lottoc.methods.lab import Found, Lab, M, S, W


@dataclass(frozen=True)
class SrSte:
    """Train dense weights through the best N of every M of them, chosen anew at every step.

    The network computes with masked weights; the dense ones get the masked ones' gradients, and
    where they are pruned `decay` times themselves. What is kept at the end is the ticket.
    """

    trains: ClassVar[bool] = True
    invertible: ClassVar[bool] = False
    patterns: ClassVar[tuple[str, ...]] = ("N:M",)
    criteria: ClassVar[tuple[str, ...]] = ("magnitude",)

    decay: float = 2e-4

    def __post_init__(self) -> None:
        if self.decay < 0:
            raise ValueError(f"decay is {self.decay:g}, not at least 0")

    def first_step(self, lab: Lab[W, S, M]) -> int:
        """The ticket trains from the beginning."""
        return 0

    def find(self, lab: Lab[W, S, M]) -> Found[W, M]:
        """θ_0 → training that masks."""
        masks, final = lab.train_sparse(
            "sr_ste", lab.initial, None, {"decay": self.decay}, first=0, last=lab.total_steps
        )
        return Found(masks, lab.initial, final)
