"""GraSP: what pruning a weight does to the gradient's norm (Wang et al. 2020, equation 8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lottoc.fields import at_least
from lottoc.statistics import Norm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lottoc.signature import Layer


@dataclass(frozen=True)
class Grasp:
    """Keep weights whose loss would take most from the gradient flow: the highest θ · Hg.

    Without weight q, ‖∂L/∂θ‖² changes by about -2 θ_q (Hg)_q: the highest -θ · Hg are removed.
    Gradient and Hessian are those of the mean loss of `samples` examples, drawn in balance from
    `seed`, with scores divided by `temperature`, with respect to the layers that are scored. The
    paper's code also redraws the last layer before it scores; that is not done here.
    """

    samples: int = 100
    seed: int = 0
    norm: Norm = "batch"
    temperature: float = 200.0
    statistic: ClassVar[str | None] = "hessian_gradient"

    def __post_init__(self) -> None:
        at_least(self, samples=1, seed=0)
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature:g}, not above 0")

    def score(
        self, weight: NDArray[Any], layer: Layer, statistic: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """θ · Hg in float64, of either sign."""
        import numpy as np

        assert statistic is not None
        scores: NDArray[np.float64] = np.asarray(weight, dtype=np.float64) * statistic
        return scores
