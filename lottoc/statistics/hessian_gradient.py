"""The product of the Hessian of the loss with its gradient."""

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
class HessianGradient:
    """H·g for the mean loss over all examples together, g its gradient; both with respect to the
    weights of the given layers that masks keep. Of the weight's shape and type.

    H·g = ∂⟨g, ∂L/∂W⟩/∂W with the first g held constant (Pearlmutter 1994). Scores of classes are
    divided by `temperature` before the loss.
    """

    samples: int = 100
    seed: int = 0
    norm: Norm = "batch"
    temperature: float = 200.0

    needs: ClassVar[frozenset[Need]] = frozenset({"gradients", "inputs", "labels"})

    def __post_init__(self) -> None:
        at_least(self, samples=1, seed=0)
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature:g}, not above 0")

    def gather(self, network: TorchNetwork, layers: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """Raises `InputError`: model-data-shape, data-labels, torch-forward, torch-backward."""
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel

        from lottoc.training.forward import differentiate

        weights = network.weights(layers)
        leaves = list(weights.values())
        batches = network.batches(self.samples, self.seed)
        network.deterministic(self.norm)
        with sdpa_kernel(SDPBackend.MATH):  # the only attention that can be differentiated twice
            total = network.zeros(weights)
            for loss in network.losses(batches, self.temperature):
                for name, part in zip(weights, differentiate(loss, leaves), strict=True):
                    total[name] += part
            network.mask(total)
            product = network.zeros(weights)
            for loss in network.losses(batches, self.temperature):
                again = differentiate(loss, leaves, graph=True)
                inner = [(g * total[n]).sum() for n, g in zip(weights, again, strict=True)]
                parts = differentiate(torch.stack(inner).sum(), leaves)
                for name, part in zip(weights, parts, strict=True):
                    product[name] += part
        return {name: network.masked(name, values) for name, values in product.items()}
