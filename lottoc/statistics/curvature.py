"""The diagonal of the curvature of the loss, one number a weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from lottoc.fields import at_least
from lottoc.statistics import Need

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from numpy.typing import NDArray

    from lottoc.statistics.network import TorchNetwork

Curvature = Literal["gauss_newton", "fisher"]


@dataclass(frozen=True)
class DiagonalCurvature:
    """Σ over examples of the squared derivatives of the loss's square roots, over their number;
    float64, of the weight's shape.

    `gauss_newton` is the diagonal of JᵀH_L J, J the derivative of the scores and H_L the Hessian of
    the loss in them (LeCun et al. 1990, equation 6; Schraudolph 2002). It costs a backward pass a
    class. Where a network is linear between ReLUs and no path passes a weight twice, it is the
    diagonal of the Hessian itself; under cross entropy it is that of the Fisher information.
    `fisher` squares the gradient of each example's own loss (empirical Fisher; one pass an
    example). Batch normalization uses running statistics: one example has none of its own.
    """

    samples: int = 100
    seed: int = 0
    curvature: Curvature = "gauss_newton"

    needs: ClassVar[frozenset[Need]] = frozenset({"gradients", "inputs", "labels"})

    def __post_init__(self) -> None:
        at_least(self, samples=1, seed=0)

    def gather(self, network: TorchNetwork, layers: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """Raises `InputError`: model-data-shape, data-labels, torch-forward, torch-backward."""
        from lottoc.training.forward import LOSSES, differentiate, forward

        weights = network.weights(layers)
        leaves = list(weights.values())
        total = {name: values.double() for name, values in network.zeros(weights).items()}
        count = 0
        batches = network.batches(self.samples, self.seed)
        network.deterministic("running")
        for x, y in batches:
            for index in range(len(x)):
                output = forward(network.module, x[index : index + 1].clone())
                count += 1
                if self.curvature == "fisher":
                    roots = iter([LOSSES[network.loss](output, y[index : index + 1])])
                else:
                    roots = _roots(output, network.loss)
                for root in roots:
                    parts = differentiate(root, leaves, keep=True)
                    for name, part in zip(weights, parts, strict=True):
                        total[name] += part.double().square()
        return {name: network.masked(name, values / count) for name, values in total.items()}


def _roots(output: torch.Tensor, loss: str) -> Iterator[torch.Tensor]:
    """Numbers whose squared derivatives add up to those that the loss's Hessian gives.

    Cross entropy: H_L = diag(p) - ppᵀ = Σ_k p_k (e_k - p)(e_k - p)ᵀ. Squared error over C
    classes: 2/C in every direction.
    """
    classes = output.shape[1]
    scores = output[0]
    shares = output[0].detach().softmax(0)
    for k in range(classes):
        if loss == "mse":
            yield (2 / classes) ** 0.5 * scores[k]
        else:
            yield shares[k].sqrt() * (scores[k] - (shares * scores).sum())
