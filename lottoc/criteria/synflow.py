"""SynFlow: flow that is conserved from layer to layer (Tanaka et al. 2020, §5, algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lottoc.fields import at_least

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lottoc.signature import Layer


@dataclass(frozen=True)
class Synflow:
    """Keep the largest |w| · ∂R/∂|w|, R the outputs' sum for an input of ones and positive weights.

    Looks at no data, only at the shape of an example. Scores are taken anew in each of `rounds`
    rounds that prune an equal share of what is left; because what flows into a layer flows out of
    it, no layer is emptied as long as a round prunes little.
    """

    rounds: int = 100
    statistic: ClassVar[str | None] = "flow"

    def __post_init__(self) -> None:
        at_least(self, rounds=1)

    def score(
        self, weight: NDArray[Any], layer: Layer, statistic: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """|w| · ∂R/∂|w| in float64, never negative; exactly 0 for pruned weights."""
        import numpy as np

        assert statistic is not None
        scores: NDArray[np.float64] = np.abs(np.asarray(weight, dtype=np.float64)) * statistic
        return scores
