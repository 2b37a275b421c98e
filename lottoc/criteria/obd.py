"""Optimal Brain Damage: ½ H_qq w_q², a diagonal second order (LeCun et al. 1990, equation 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lottoc.fields import at_least
from lottoc.statistics.curvature import Curvature

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lottoc.signature import Layer


@dataclass(frozen=True)
class Obd:
    """Keep weights whose loss would cost most to second order: the highest ½ H_qq w_q².

    H_qq is the diagonal of the Gauss-Newton matrix over `samples` examples, drawn in balance from
    `seed`, as in the paper; or, with `curvature = fisher`, that of the empirical Fisher matrix. Off
    the diagonal nothing is looked at, and the gradient is taken to be zero: it is meant for trained
    networks, `method = imp(…)`.
    """

    samples: int = 100
    seed: int = 0
    curvature: Curvature = "gauss_newton"
    statistic: ClassVar[str | None] = "curvature"

    def __post_init__(self) -> None:
        at_least(self, samples=1, seed=0)

    def score(
        self, weight: NDArray[Any], layer: Layer, statistic: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """½ H w² in float64, never negative."""
        import numpy as np

        assert statistic is not None
        scores: NDArray[np.float64] = 0.5 * np.asarray(weight, dtype=np.float64) ** 2 * statistic
        return scores
