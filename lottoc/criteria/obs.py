"""Optimal Brain Surgeon of a layer: w² / (2 [H⁻¹]_jj) (Hassibi & Stork 1993, equation 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lottoc.fields import at_least

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lottoc.signature import Layer


@dataclass(frozen=True)
class Obs:
    """Keep weights whose removal raises ‖ΔW X‖² most, even if all others make up for it.

    H = XXᵀ + `damping` · mean(diag XXᵀ) · I over the calibration examples. Weights stay as they
    are: `sparsegpt` is the criterion that changes them.
    """

    damping: float = 0.01

    statistic: ClassVar[str | None] = "inverse_diagonal"

    def __post_init__(self) -> None:
        at_least(self, damping=0)

    def score(
        self, weight: NDArray[Any], layer: Layer, statistic: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """w² / (2 [H⁻¹]_jj) in float64."""
        import numpy as np

        from lottoc.layerwise.matrix import per_input

        assert statistic is not None
        scores: NDArray[np.float64] = np.square(np.asarray(weight, dtype=np.float64))
        scores /= 2 * per_input(statistic, np.shape(weight))
        return scores
