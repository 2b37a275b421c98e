"""Edge-popup: a good network inside a random one, found by learning scores and no weight.

Source: Ramanujan, Wortsman, Kembhavi, Farhadi, Rastegari 2020, "What's Hidden in a Randomly
Weighted Neural Network?", §3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lottoc.fields import at_least
from lottoc.methods.lab import Found, Lab, M, S, W


@dataclass(frozen=True)
class EdgePopup:
    """Learn a score for every weight; the network computes with the weights of the best scores.

    The training of the ticket trains scores alone, drawn from `seed`: its learning rate, momentum
    and weight decay are theirs. No weight, bias or normalization parameter ever changes. How many
    weights each layer keeps `scope` says, `layerwise` unless the ticket names another.
    """

    trains: ClassVar[bool] = True
    trains_weights: ClassVar[bool] = False
    usual_scope: ClassVar[str] = "layerwise"
    invertible: ClassVar[bool] = False
    patterns: ClassVar[tuple[str, ...]] = (
        "unstructured",
        "N:M",
        "fanin",
        "block",
        "rows",
        "channels",
    )
    criteria: ClassVar[tuple[str, ...]] = ("magnitude",)

    seed: int = 0

    def __post_init__(self) -> None:
        at_least(self, seed=0)

    def first_step(self, lab: Lab[W, S, M]) -> int:
        """Scores are learned from the beginning."""
        return 0

    def find(self, lab: Lab[W, S, M]) -> Found[W, M]:
        """θ_0 → scores learned → masks over θ_0."""
        masks, final = lab.train_sparse(
            "edge_popup", lab.initial, None, {"seed": self.seed}, first=0, last=lab.total_steps
        )
        return Found(masks, lab.initial, final)
