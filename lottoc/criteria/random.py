"""Random: a uniform draw for every weight, the baseline every criterion has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lottoc.fields import at_least

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lottoc.signature import Layer


@dataclass(frozen=True)
class Random:
    """Keep weights drawn from (`seed`, layer name), whatever their values."""

    seed: int = 0

    statistic: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        at_least(self, seed=0)

    def score(
        self, weight: NDArray[Any], layer: Layer, statistic: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Uniform scores in [0, 1), float64."""
        from lottoc.masks.mask import stream

        return stream(self.seed, f"random/{layer.name}").random(weight.shape)
