"""SparseGPT: prune what other weights can make up for, and let them (Frantar & Alistarh 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lottoc.fields import at_least

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lottoc.layerwise.moments import Moment
    from lottoc.layerwise.reconstruct import Solved
    from lottoc.masks.patterns import Pattern


@dataclass(frozen=True)
class SparseGpt:
    """Sweep over the inputs of a layer; each pruned weight's error is undone by later inputs.

    H = XXᵀ + `damping` · mean(diag XXᵀ) · I over the calibration examples. Unstructured masks are
    chosen `block` inputs at a time by w² / U_ii², H⁻¹ = UᵀU; N:M masks group by group.
    `act_order` sweeps from the strongest input to the weakest.
    """

    damping: float = 0.01
    block: int = 128
    act_order: bool = False

    def __post_init__(self) -> None:
        at_least(self, damping=0, block=1)

    def moment(self, size: int) -> Moment:
        """XXᵀ."""
        from lottoc.layerwise.moments import Gram

        return Gram(size)

    def solve(
        self, weight: NDArray[Any], moment: NDArray[Any], pattern: Pattern, kept: int
    ) -> Solved:
        """Raises `SingularHessian` only for inputs that are not finite."""
        from lottoc.layerwise.matrix import as_matrix, as_weight
        from lottoc.layerwise.reconstruct import Solved
        from lottoc.layerwise.sweep import sweep

        options: Any = {"damping": self.damping, "act_order": self.act_order, "block": self.block}
        choice = self._choice(weight, moment, pattern, kept)
        found = sweep(as_matrix(weight), moment, choice, **options)
        new, shape = found.weight.astype(weight.dtype), weight.shape
        return Solved(as_weight(new, shape), as_weight(found.mask, shape))

    def _choice(
        self, weight: NDArray[Any], moment: NDArray[Any], pattern: Pattern, kept: int
    ) -> Any:
        """Patterns that a sweep cannot choose along the way are chosen before it, by the price
        w² / [H⁻¹]_ii of removing each weight alone."""
        import numpy as np

        from lottoc.layerwise.choice import Count, Given, NOfM
        from lottoc.layerwise.factor import inverse_factor
        from lottoc.layerwise.matrix import as_matrix, per_input
        from lottoc.masks.patterns.nm import NofM
        from lottoc.masks.patterns.unstructured import Unstructured

        match pattern:
            case Unstructured():
                return Count(weight.size - kept, weight.size)
            case NofM():
                return NOfM(pattern.n, pattern.m)
        inverse = inverse_factor(moment, self.damping).inverse_diagonal()
        prices = per_input(inverse, weight.shape)
        scores = np.square(np.asarray(weight, np.float64)) / prices
        return Given(as_matrix(pattern.keep(scores, kept)))
