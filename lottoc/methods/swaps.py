"""What methods have in common that train sparse from the start and swap connections on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from lottoc.methods.lab import Duration, Found, Lab, M, S, W

EVERY = Duration(100, "steps")


@dataclass(frozen=True)
class Swaps:
    """`update` names the rule; its options are those of the method, in steps."""

    update: ClassVar[str]
    trains: ClassVar[bool] = True
    invertible: ClassVar[bool] = False
    patterns: ClassVar[tuple[str, ...]] = ("unstructured",)
    first_criterion: ClassVar[str] = "random"

    every: Duration = EVERY
    drop: float = 0.3
    until: float = 0.75

    def __post_init__(self) -> None:
        check_share("drop", self.drop)
        check_share("until", self.until)
        if self.every.amount < 1:
            raise ValueError(f"every is {self.every}, not at least 1 step")

    def first_step(self, lab: Lab[W, S, M]) -> int:
        """The ticket trains from the beginning."""
        return 0

    def find(self, lab: Lab[W, S, M]) -> Found[W, M]:
        """θ_0 → scores → masks → training that moves them."""
        (target,) = lab.rounds(1)
        masks = lab.select(lab.initial, target)
        moved, final = lab.train_sparse(
            self.update, lab.initial, masks, self.options(lab), first=0, last=lab.total_steps
        )
        return Found(moved, lab.initial, final)

    def options(self, lab: Lab[W, S, M]) -> dict[str, Any]:
        """Options of the rule."""
        return {
            "every": lab.steps(self.every),
            "until": share_of(self.until, lab.total_steps),
            "drop": self.drop,
        }


def check_share(name: str, value: float) -> None:
    """Raise `ValueError` for what is no share."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value:g}, not a share between 0% and 100%")


def share_of(share: float, steps: int) -> int:
    """A share of the training, to the nearest step."""
    return round(share * steps)
