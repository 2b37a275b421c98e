"""The diagonal of the inverse Hessian of a layer's outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lottoc.fields import at_least
from lottoc.statistics import Need

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lottoc.layerwise.network import Calibration


@dataclass(frozen=True)
class InverseDiagonal:
    """[(XXᵀ + `damping` · mean diagonal · I)⁻¹]_jj, the mean over tokens, [in] float64."""

    damping: float = 0.01

    needs: ClassVar[frozenset[Need]] = frozenset({"activations", "inputs"})

    def __post_init__(self) -> None:
        at_least(self, damping=0)

    def gather(self, network: Calibration, layers: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """Raises `InputError`: activations-not-finite, and what running the network raises."""
        from lottoc.layerwise.factor import inverse_factor
        from lottoc.layerwise.moments import Gram

        def diagonal(mean: NDArray[Any]) -> NDArray[Any]:
            return inverse_factor(mean, self.damping).inverse_diagonal()

        return network.measure(layers, Gram, diagonal)
