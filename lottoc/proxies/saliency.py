"""Proxies that add up a saliency over all weights (Abdelfattah et al. 2021, §3.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lottoc.fields import at_least
from lottoc.statistics import Need, Norm
from lottoc.statistics.flow import Flow
from lottoc.statistics.gradient import Gradient
from lottoc.statistics.hessian_gradient import HessianGradient

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lottoc.statistics.network import TorchNetwork


def _weights(network: TorchNetwork, layers: Sequence[str]) -> Mapping[str, NDArray[Any]]:
    return {n: w.detach().double().numpy().copy() for n, w in network.weights(layers).items()}


@dataclass(frozen=True)
class _OfLoss:
    """Looks at the mean loss of `samples` examples, drawn in balance over the classes."""

    samples: int = 64
    seed: int = 0
    norm: Norm = "batch"

    needs: ClassVar[frozenset[Need]] = Gradient.needs

    def __post_init__(self) -> None:
        at_least(self, samples=1, seed=0)


@dataclass(frozen=True)
class GradNorm(_OfLoss):
    """Σ over layers of ‖∂L/∂W‖₂, not the norm of all together."""

    def measure(self, network: TorchNetwork, layers: Sequence[str]) -> float:
        """Raises `InputError`: model-data-shape, data-labels, torch-forward, torch-backward."""
        found = Gradient(self.samples, self.seed, self.norm).gather(network, layers)
        return sum(math.sqrt((g.astype("float64") ** 2).sum()) for g in found.values())


@dataclass(frozen=True)
class Snip(_OfLoss):
    """Σ |w · ∂L/∂w|."""

    def measure(self, network: TorchNetwork, layers: Sequence[str]) -> float:
        """Raises `InputError`: model-data-shape, data-labels, torch-forward, torch-backward."""
        weights = _weights(network, layers)
        found = Gradient(self.samples, self.seed, self.norm).gather(network, layers)
        return float(sum(abs(w * found[name]).sum() for name, w in weights.items()))


@dataclass(frozen=True)
class Grasp(_OfLoss):
    """Σ -w · (H∂L/∂w), scores undivided; often negative."""

    def measure(self, network: TorchNetwork, layers: Sequence[str]) -> float:
        """Raises `InputError`: model-data-shape, data-labels, torch-forward, torch-backward."""
        weights = _weights(network, layers)
        statistic = HessianGradient(self.samples, self.seed, self.norm, temperature=1.0)
        found = statistic.gather(network, layers)
        return float(-sum((w * found[name]).sum() for name, w in weights.items()))


@dataclass(frozen=True)
class Synflow:
    """log Σ |w| · ∂R/∂|w|: the flow through the network with positive weights, in float64.

    Without biases that is log R plus the log of the number of layers.
    """

    needs: ClassVar[frozenset[Need]] = Flow.needs

    def measure(self, network: TorchNetwork, layers: Sequence[str]) -> float:
        """Raises `InputError`: flow-not-linear, model-data-shape, torch-forward."""
        weights = _weights(network, layers)
        found = Flow().gather(network, layers)
        return math.log(sum(float((abs(w) * found[name]).sum()) for name, w in weights.items()))
