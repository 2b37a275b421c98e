"""Going through a network stage by stage, looking at inputs of layers and changing weights.

A stage is some layers whose inputs are known once all before them has run. Whoever walks looks at
those inputs, may put new weights in place, and goes on; what follows runs with the new weights.
So a whole network is pruned in one run, and no more of it is in memory than one stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Batch = Mapping[str, NDArray[Any]]
"""Examples that run together, by the name of the model's input."""

Observe = Callable[[str, NDArray[np.float32]], None]
"""Told the name of a group and some rows of its input, [rows, in]; rows come in a fixed order."""


class Stage(Protocol):
    """Some layers whose inputs are known."""

    @property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """Layers by group: those of one group are given the same input."""

    def observe(self, observe: Observe) -> None:
        """Show the inputs of every group, from the first example to the last."""

    def replace(self, layer: str, weight: Callable[[], NDArray[Any]]) -> None:
        """Go on with another weight, canonical [out, in], which is asked for when it is used."""


class Walk(Protocol):
    """A network that can be walked through."""

    def stages(self, layers: Sequence[str], batches: Sequence[Batch]) -> Iterator[Stage]:
        """The stages up to the last of these layers; asking for the next runs this one.

        Raises `InputError` where the network does not run on these examples.
        """

    def count(self, layers: Sequence[str]) -> int:
        """How many stages there will be."""

    def runs(self, layer: str) -> int:
        """How many times a layer runs, on inputs that need not be the same."""
