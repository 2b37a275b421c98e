"""The gradient of the mean loss with respect to every weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lottoc.fields import at_least
from lottoc.statistics import Need, Norm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lottoc.statistics.network import TorchNetwork


@dataclass(frozen=True)
class Gradient:
    """∂L/∂W for the mean loss L over all examples together, so that the gradients of examples
    may cancel; of the weight's shape and type, zero where a weight is pruned."""

    samples: int = 100
    seed: int = 0
    norm: Norm = "batch"

    needs: ClassVar[frozenset[Need]] = frozenset({"gradients", "inputs", "labels"})

    def __post_init__(self) -> None:
        at_least(self, samples=1, seed=0)

    def gather(self, network: TorchNetwork, layers: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """Raises `InputError`: model-data-shape, data-labels, torch-forward, torch-backward."""
        from lottoc.training.forward import backward

        weights = network.weights(layers)
        batches = network.batches(self.samples, self.seed)
        network.deterministic(self.norm)
        network.module.zero_grad()
        for loss in network.losses(batches):
            backward(loss)
        return {name: network.masked(name, network.grad(w)) for name, w in weights.items()}
