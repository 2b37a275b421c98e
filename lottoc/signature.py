"""What a recipe can know of a network without its weights: its prunable layers, in order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

LayerKind = Literal["linear", "conv"]


@dataclass(frozen=True)
class Layer:
    """One prunable weight.

    `shape` is always canonical, whatever the file's own layout: [out, in] for linear layers,
    [out, in / groups, *kernel] for convolutions. Axis 1 is the reduction dimension.
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
