"""Subset sum: a trained layer found inside a random, wider network, as theory says it can be.

Source: Pensia, Rajput, Nagle, Vishwakarma, Papailiopoulos 2020, "Optimal Lottery Tickets via Subset
Sum: Logarithmic Over-Parameterization is Sufficient", §3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lottoc.methods.lab import NO_TICKET, Found, Lab, M, S, TicketName, W


@dataclass(frozen=True)
class SubsetSum:
    """Prune a random network of twice the depth until it computes the layers of a trained one.

    Of each two selected layers, a wide one and the one after it, remains what multiplies to a layer
    of the ticket `target`, each weight within `epsilon`. Weights stay as they were drawn. How
    much is pruned follows; the report says the error reached and how many hidden units it took.
    """

    trains_weights: ClassVar[bool] = False
    chooses_amount: ClassVar[bool] = True
    invertible: ClassVar[bool] = False
    patterns: ClassVar[tuple[str, ...]] = ("unstructured",)
    criteria: ClassVar[tuple[str, ...]] = ("magnitude",)

    target: TicketName = NO_TICKET
    epsilon: float = 0.01

    def __post_init__(self) -> None:
        if self.epsilon < 0:
            raise ValueError(f"epsilon is {self.epsilon:g}, not at least 0")

    def first_step(self, lab: Lab[W, S, M]) -> int:
        """Nothing is trained."""
        return 0

    def find(self, lab: Lab[W, S, M]) -> Found[W, M]:
        """θ_0 → masks over θ_0."""
        return Found(lab.approximate(lab.initial, self.epsilon), lab.initial, lab.initial)
