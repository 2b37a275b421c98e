"""The units of a torch program: which channel is which, and what is known to be constant of it.

A unit is an output of a linear layer or convolution. `lottoc.backends.fx.follow` finds them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import fx

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Carrier:
    """A value that carries units: along `axis`, position j belongs to unit `ids[j]`.

    `numbers` are what is known to be constant of it, NaN elsewhere.
    """

    axis: int
    ids: Ids
    numbers: Floats


@dataclass(frozen=True)
class Mixer:
    """A layer that mixes channels by a weight [out, in, places], which it alone reads.

    `padded` says that its input is widened by zeros, which constants are not.
    """

    node: fx.Node
    weight: Floats
    bias: Floats
    source: Carrier | None
    ids: Ids
    padded: bool


@dataclass
class Units:
    """All units of a program; `owners` are the tensors that go with the channels of a value."""

    carriers: dict[fx.Node, Carrier] = field(default_factory=dict)
    mixers: list[Mixer] = field(default_factory=list)
    owners: dict[fx.Node, list[fx.Node]] = field(default_factory=dict)
    depthwise: list[fx.Node] = field(default_factory=list)
    views: list[fx.Node] = field(default_factory=list)
    pinned: list[Ids] = field(default_factory=list)
    joined: list[tuple[Ids, Ids]] = field(default_factory=list)
    count: int = 0

    def fresh(self, number: int) -> Ids:
        """New units."""
        self.count += number
        return np.arange(self.count - number, self.count)

    def pin(self, node: fx.Node) -> None:
        """Forbid the removal of a value's units."""
        if node in self.carriers:
            self.pinned.append(self.carriers[node].ids)

    def labels(self) -> Ids:
        """For each unit the least unit that it is the same as."""
        labels = np.arange(self.count)
        while self.joined:
            before = labels.copy()
            for left, right in self.joined:
                least = np.minimum(labels[left], labels[right])
                np.minimum.at(labels, left, least)
                np.minimum.at(labels, right, least)
            labels = labels[labels]
            if np.array_equal(labels, before):
                break
        return labels


def constants(mixer: Mixer) -> Floats:
    """What a layer's outputs are, where nothing reaches them that depends on the input."""
    reads = (mixer.weight != 0).any(axis=2)
    values = np.zeros(reads.shape[1])
    if mixer.source is not None:
        absorbed = absorbable(mixer)
        values = np.where(absorbed, mixer.source.numbers, 0.0)
        reads = reads & ~absorbed
    found: Floats = mixer.bias + mixer.weight.sum(axis=2) @ values
    return np.where(reads.any(axis=1), np.nan, found)


def absorbable(mixer: Mixer) -> NDArray[np.bool_]:
    """[in]: inputs that are constants which can move into the bias."""
    assert mixer.source is not None
    numbers = mixer.source.numbers
    found: NDArray[np.bool_] = numbers == 0 if mixer.padded else np.isfinite(numbers)
    return found
