"""SparseGPT: prune what other weights can make up for, and let them (Frantar & Alistarh 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lottoc.fields import at_least

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lottoc.layerwise.factor import Factor
    from lottoc.layerwise.moments import Moment
    from lottoc.layerwise.reconstruct import Solved
    from lottoc.masks.patterns import Pattern


@dataclass(frozen=True)
class SparseGpt:
    """Sweep over the inputs of a layer; each pruned weight's error is undone by later inputs.

    H = XXᵀ + `damping` · mean(diag XXᵀ) · I over the calibration examples. Unstructured masks are
    chosen `block` inputs at a time by w² / U_ii², H⁻¹ = UᵀU; N:M masks group by group.
    `act_order` sweeps from the strongest input to the weakest. Where outputs share their inputs
    (`groups`), no sweep is needed: the best weights solve one linear system for each group.
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
        from lottoc.layerwise.choice import Choice, Count, Given, NOfM
        from lottoc.layerwise.factor import inverse_factor
        from lottoc.layerwise.least_squares import least_squares
        from lottoc.layerwise.matrix import as_matrix, as_weight
        from lottoc.layerwise.reconstruct import Solved
        from lottoc.layerwise.sweep import sweep
        from lottoc.masks.patterns.groups import Groups
        from lottoc.masks.patterns.nm import NofM
        from lottoc.masks.patterns.unstructured import Unstructured

        shape, matrix = weight.shape, as_matrix(weight)
        match pattern:
            case Unstructured():
                choice: Choice = Count(weight.size - kept, weight.size)
            case NofM():
                choice = NOfM(pattern.n, pattern.m)
            case _:
                factor = inverse_factor(moment, self.damping)
                mask = as_matrix(self._before(weight, factor, pattern, kept))
                if isinstance(pattern, Groups):
                    best = least_squares(matrix, moment, mask, factor).astype(weight.dtype)
                    return Solved(as_weight(best, shape), as_weight(mask, shape))
                choice = Given(mask)
        options: Any = {"damping": self.damping, "act_order": self.act_order, "block": self.block}
        found = sweep(matrix, moment, choice, **options)
        new = found.weight.astype(weight.dtype)
        return Solved(as_weight(new, shape), as_weight(found.mask, shape))

    def _before(
        self, weight: NDArray[Any], factor: Factor, pattern: Pattern, kept: int
    ) -> NDArray[np.bool_]:
        """Patterns that a sweep cannot choose along the way are chosen before it, by the price
        w² / [H⁻¹]_ii of removing each weight alone; inputs that never fired cost next to nothing.
        """
        import numpy as np

        from lottoc.layerwise.matrix import per_input

        inverse = np.where(factor.dead, 1e12, 1.0) * factor.inverse_diagonal()
        prices = per_input(inverse, weight.shape)
        return pattern.keep(np.square(np.asarray(weight, np.float64)) / prices, kept)
