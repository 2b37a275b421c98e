"""RIA: relative importance and activations (Zhang et al. 2024, equations 2 to 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lottoc.signature import Layer


@dataclass(frozen=True)
class Ria:
    """Keep the largest (|W_ij| / Σ_k |W_kj| + |W_ij| / Σ_k |W_ik|) · ‖X_j‖₂^a.

    Each weight is measured against its row and its column, so that no input and no output is
    pruned as a whole because all its weights are small. `a` is the exponent of the paper, 0.5
    there; 0 does not look at activations, 1 nearly as `wanda` does.
    """

    a: float = 0.5
    statistic: ClassVar[str | None] = "squares"

    def __post_init__(self) -> None:
        if not 0 <= self.a <= 1:
            raise ValueError("a is from 0 to 1")

    def score(
        self, weight: NDArray[Any], layer: Layer, statistic: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """In float64, ‖X_j‖₂ as √(mean x_j²).

        Inputs that never fired score below all others, among themselves by magnitude.
        """
        import numpy as np

        from lottoc.criteria.wanda import below
        from lottoc.layerwise.matrix import per_input

        assert statistic is not None
        squares = per_input(statistic, np.shape(weight))
        size = np.abs(np.asarray(weight, dtype=np.float64))
        inner = tuple(range(1, size.ndim))
        column = size.sum(axis=0, keepdims=True)
        row = size.sum(axis=inner, keepdims=True)
        share = size / np.where(column > 0, column, 1) + size / np.where(row > 0, row, 1)
        scores: NDArray[np.float64] = share * np.sqrt(squares) ** self.a
        return below(scores, size, squares <= 0)
