"""SNIP: connection sensitivity |w · ∂L/∂w| (Lee et al. 2019, equations 4 and 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lottoc.fields import at_least
from lottoc.statistics import Norm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lottoc.signature import Layer


@dataclass(frozen=True)
class Snip:
    """Keep weights whose loss would change most: |w · ∂L/∂w| for the mean loss of `samples`
    training examples, drawn in balance over the classes from `seed`.

    The paper divides by the sum over all weights, which changes no ranking. `norm` says what batch
    normalization uses: the statistics of those examples (`batch`) or the `running` ones.
    """

    samples: int = 100
    seed: int = 0
    norm: Norm = "batch"
    statistic: ClassVar[str | None] = "gradient"

    def __post_init__(self) -> None:
        at_least(self, samples=1, seed=0)

    def score(
        self, weight: NDArray[Any], layer: Layer, statistic: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """|w · g| in float64; 0 where there is no gradient or no weight."""
        import numpy as np

        assert statistic is not None
        scores: NDArray[np.float64] = np.abs(np.asarray(weight, dtype=np.float64) * statistic)
        return scores
