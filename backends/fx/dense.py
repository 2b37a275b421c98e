"""The `dense` representation: the weight with its zeros, as any runtime has it."""

from __future__ import annotations

import torch

from lottoc.backends.fx.graph import Graph
from lottoc.backends.fx.representation import MaskedWeight


def encode(weight: MaskedWeight) -> dict[str, torch.Tensor]:
    """The weight itself, under its own name."""
    return {"": weight.value}


def rewrite(graph: Graph, weight: MaskedWeight, stored: dict[str, torch.Tensor]) -> None:
    """Nothing: the model was exported with masked weights."""


def decode(stored: dict[str, torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
    """The weight."""
    return stored[""]
