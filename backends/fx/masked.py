"""The `masked` representation: the weight as a parameter and its mask as a buffer, to be trained.

    weight = where(mask, weight, 0)

What is pruned is zero whatever an optimizer does, and gets no gradient.
"""

from __future__ import annotations

import torch

from lottoc.backends.fx.graph import ATEN, Graph
from lottoc.backends.fx.representation import MaskedWeight

MASK = "_mask"


def encode(weight: MaskedWeight) -> dict[str, torch.Tensor]:
    """The weight under its own name, and which of it is kept."""
    return {"": weight.value, MASK: weight.kept}


def rewrite(graph: Graph, weight: MaskedWeight, stored: dict[str, torch.Tensor]) -> None:
    """All that reads the weight reads it through the mask."""
    readers = graph.readers(weight.names)
    mask = graph.store(f"{readers[0].target}{MASK}", stored[MASK])
    held = graph.call(None, ATEN.where.ScalarOther, mask, readers[0], 0.0)
    graph.replace(readers, held)


def decode(stored: dict[str, torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
    """The weight as its readers see it."""
    return torch.where(stored[MASK], stored[""], 0.0)
