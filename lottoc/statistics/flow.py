"""How much each weight takes part in the flow through a network of positive weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lottoc.statistics import Need

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lottoc.statistics.network import TorchNetwork


@dataclass(frozen=True)
class Flow:
    """∂R/∂|W| for R, the sum of the outputs when every parameter is replaced by its absolute value
    and the input is one example of ones; float64, of the weight's shape (Tanaka et al. 2020, §5).

    R looks at no example, only at the shape of one. Normalization is what it is at
    initialization: division by the running deviation, no shift by the running mean. A network
    that is more than linear maps and ReLUs has no such flow and is refused.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"gradients", "inputs"})

    def gather(self, network: TorchNetwork, layers: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """Raises `InputError`: flow-not-linear, model-data-shape, torch-forward."""
        from lottoc.statistics.linear import positive_outputs
        from lottoc.training.forward import differentiate

        weights = network.weights(layers)
        total = positive_outputs(network).sum()
        gradients = differentiate(total, list(weights.values()))
        return {
            name: network.masked(name, gradient)
            for name, gradient in zip(weights, gradients, strict=True)
        }
