"""What a recipe can know of a network without its weights: its prunable layers, in order."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

LayerKind = Literal["linear", "conv", "attention", "recurrent"]
"""What a layer is: `attention` projects queries, keys or values, `recurrent` is a weight that steps
through a sequence share."""

KINDS_CALLED: Mapping[str, frozenset[LayerKind]] = {
    "linear": frozenset({"linear", "attention"}),
    "conv": frozenset({"conv"}),
    "attention": frozenset({"attention"}),
    "recurrent": frozenset({"recurrent"}),
}
"""The words that select layers by what they are. A projection is a linear layer as well."""


@dataclass(frozen=True)
class Layer:
    """One prunable weight.

    `shape` is always canonical, whatever the file's own layout: [out, in / groups, *kernel] for
    convolutions, [out, in] for all others. Axis 1 is the reduction dimension.
    """

    name: str
    kind: LayerKind
    shape: tuple[int, ...]
    dtype: str = "float32"
    reads: int | None = field(default=None, compare=False)
    """Layers with the same number read the same channels, which may be put in another order; None
    if they may not, or nobody has looked."""

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Signature:
    """The prunable layers of a network in the order data flows through them."""

    layers: tuple[Layer, ...]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, name: str) -> Layer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)


def layer_called(parameter: str) -> str:
    """The name of the layer whose weight is a parameter: `fc1` for `fc1.weight`.

    A weight that is not called so, because its module has several, is a layer by its own name:
    `self_attn.in_proj_weight`.
    """
    return parameter.removesuffix(".weight")


def parameter_of(layer: str, known: Container[str], prefix: str = "") -> str:
    """The name of a layer's weight among those `known` of a network, which begin with `prefix`.

    No module has a parameter and a part of one name, so only one of the two can be there.
    """
    usual = f"{prefix}{layer}.weight"
    return usual if usual in known else f"{prefix}{layer}"
