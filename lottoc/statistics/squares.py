"""The mean square of every input of a layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lottoc.statistics import Need

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lottoc.layerwise.network import Calibration


@dataclass(frozen=True)
class Squares:
    """Mean of x_j² over all calibration tokens, [in] float64: ‖X_j‖² up to a constant factor."""

    needs: ClassVar[frozenset[Need]] = frozenset({"activations", "inputs"})

    def gather(self, network: Calibration, layers: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """Raises `InputError`: activations-not-finite, and what running the network raises."""
        from lottoc.layerwise import moments

        return network.measure(layers, moments.Squares)
