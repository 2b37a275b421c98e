"""Wanda: |w| times the norm of its input (Sun et al. 2024, equation 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lottoc.signature import Layer


@dataclass(frozen=True)
class Wanda:
    """Keep the largest |W_ij| · ‖X_j‖₂, X the inputs of the layer over the calibration examples.

    Published with comparison within each output row, `pattern = fanin`, which is its default.
    """

    statistic: ClassVar[str | None] = "squares"
    pattern: ClassVar[str | None] = "fanin"

    def score(
        self, weight: NDArray[Any], layer: Layer, statistic: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """|W_ij| · √(mean x_j²) in float64.

        Inputs that never fired score below all others, among themselves by magnitude.
        """
        import numpy as np

        from lottoc.layerwise.matrix import per_input

        assert statistic is not None
        squares = per_input(statistic, np.shape(weight))
        size = np.abs(np.asarray(weight, dtype=np.float64))
        scores: NDArray[np.float64] = size * np.sqrt(squares)
        return below(scores, size, squares <= 0)


def below(scores: NDArray[Any], size: NDArray[Any], dead: NDArray[Any]) -> NDArray[Any]:
    """Scores with the columns of `dead` inputs below all others, ordered by magnitude."""
    import numpy as np

    if dead.any():
        scores[:, dead] = -1 / np.maximum(size[:, dead], 1e-300)
    return scores
