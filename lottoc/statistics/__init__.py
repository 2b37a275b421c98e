"""What criteria ask of a whole network: one file a statistic, one line here.

A statistic is one array a layer, gathered by running the network once for all layers; a criterion
turns it, with the layer's weight, into scores, one layer at a time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Need = Literal["gradients", "activations", "inputs", "labels"]
"""`gradients`: the network is differentiated, so it must be a torch model. `activations`: it is
run. `inputs`: examples, or at least the shape of one. `labels`: the class of each example."""

Norm = Literal["batch", "running"]
"""What batch normalization uses while scores are taken: the statistics of the examples scored, as
in training, or the running ones, which say nothing before there was any training."""

STATISTICS = {
    "curvature": "lottoc.statistics.curvature:DiagonalCurvature",
    "flow": "lottoc.statistics.flow:Flow",
    "gradient": "lottoc.statistics.gradient:Gradient",
    "hessian_gradient": "lottoc.statistics.hessian_gradient:HessianGradient",
    "inverse_diagonal": "lottoc.statistics.inverse_diagonal:InverseDiagonal",
    "squares": "lottoc.statistics.squares:Squares",
}


class Statistic(Protocol):
    """Gathers one array a layer; the fields of its dataclass are its options."""

    needs: ClassVar[frozenset[Need]]
    """What it cannot do without; the compiler refuses recipes that do not have it."""

    def gather(self, network: Any, layers: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """An array for each of the layers, float32 or float64, of whatever shape it has to be.

        `network` is what the model's source can offer: `lottoc.statistics.network.TorchNetwork`.
        """


def statistic_class(name: str) -> type[Statistic]:
    """The class of a statistic; `KeyError` if there is none of that name."""
    module, _, attribute = STATISTICS[name].partition(":")
    found: type[Statistic] = getattr(import_module(module), attribute)
    return found
