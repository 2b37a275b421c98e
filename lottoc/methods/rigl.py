"""RigL: sparse from the start, connections grown where the gradient is largest.

Source: Evci, Gale, Menick, Castro, Elsen 2020, "Rigging the Lottery: Making All Tickets Winners".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lottoc.methods.swaps import Swaps


@dataclass(frozen=True)
class Rigl(Swaps):
    """Train sparse from the start; drop by magnitude, grow by gradient.

    Every `every` steps each layer lets go of its lowest magnitudes and grows as many connections
    where the loss has the largest gradient, dropped ones included. The share that goes is `drop`
    at first and falls to 0 along a cosine that ends at `until` of the training. Gradients of
    pruned weights are looked at in these steps only. What grows starts at zero. The first mask is
    random unless the ticket names a criterion.
    """

    update: ClassVar[str] = "rigl"
