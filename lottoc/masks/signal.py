"""Follows signal through a network under masks: which units inputs reach, which ones outputs read.

Only paths count, not numbers: a unit is reached if a path of kept weights leads to it from an
input of the network, and read if one leads from it to an output. What is not known to keep its
channels apart passes every channel on to every other, so no loss is ever reported that is not
there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lottoc.masks.mask import Mask

Bools = NDArray[np.bool_]
Kept = Callable[[str], Bools | None]
"""For a layer, [out, in / groups, …], the weights that are kept; None where there is no mask."""


@dataclass(frozen=True)
class Read:
    """How a value enters another: channel j comes from channel `places[j]`, from none if -1.

    Without places every channel comes from every channel.
    """

    source: int
    places: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Step:
    """An operator without prunable weights: each channel is made of all that `reads` bring it."""

    target: int
    reads: tuple[Read, ...]


@dataclass(frozen=True)
class Use:
    """An operator that multiplies by a layer's weight, [out, in / groups, …].

    Depthwise it multiplies each channel by numbers of its own. A source of one channel stands for
    all inputs together.
    """

    layer: str
    source: int
    target: int
    groups: int = 1
    depthwise: bool = False


class Edges(MutableMapping[str, Bools]):
    """Boolean arrays by name, held as one bit a number and unpacked whenever they are asked for."""

    def __init__(self, packed: Mapping[str, Mask] | None = None) -> None:
        self.packed = dict(packed or {})

    def __getitem__(self, name: str) -> Bools:
        return self.packed[name].to_bool()

    def __setitem__(self, name: str, edges: Bools) -> None:
        self.packed[name] = Mask.from_bool(edges)

    def __delitem__(self, name: str) -> None:
        del self.packed[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.packed)

    def __len__(self) -> int:
        return len(self.packed)


@dataclass
class Wiring:
    """A network's graph with nothing left but channels and layers, in the order of evaluation.

    `widths` has the number of channels of each value. `own` says of a layer between which units,
    [out, in / groups], the network itself has a weight other than zero, unless it is between all.
    """

    widths: list[int] = field(default_factory=list)
    steps: list[Step | Use] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[tuple[str, int]] = field(default_factory=list)
    own: Edges = field(default_factory=Edges)

    def layers(self) -> list[str]:
        """Names of the layers, each once, as signal meets them."""
        return list(dict.fromkeys(step.layer for step in self.steps if isinstance(step, Use)))

    def edges(self, use: Use, kept: Kept) -> Bools | None:
        """[out, in / groups]: between which units a layer has a weight; None for all."""
        mask, own = kept(use.layer), self.own.get(use.layer)
        if mask is None:
            return own
        edges = np.asarray(mask.reshape(*mask.shape[:2], -1).any(axis=2))
        return edges if own is None else edges & own


Fault = Literal["empty", "unreached", "unread", "broken"]


@dataclass(frozen=True)
class Lost:
    """A layer that carries no signal, and why.

    `empty`: it keeps nothing. `unreached`: what it keeps reads units that no input reaches.
    `unread`: what it keeps leads to units that no output reads. `broken`: some of it is reached
    and some of it is read, but no weight is both.
    """

    layer: str
    fault: Fault


@dataclass(frozen=True)
class Loss:
    """What masks cut off: outputs that depend on no input any more, and silent layers."""

    outputs: tuple[str, ...] = ()
    layers: tuple[Lost, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.outputs or self.layers)


def find_loss(wiring: Wiring, kept: Kept) -> Loss:
    """What carries signal in the network as it is, and does not under `kept`."""
    dense, masked = _Flow(wiring, lambda layer: None), _Flow(wiring, kept)
    outputs = tuple(
        name
        for name, value in wiring.outputs
        if dense.reached[value].any() and not masked.reached[value].any()
    )
    whole, under = dense.faults(), masked.faults()
    lost = ((name, under[name]) for name in wiring.layers() if whole[name] is None)
    return Loss(outputs, tuple(Lost(name, fault) for name, fault in lost if fault is not None))


class _Flow:
    """Signal under one mask a layer; `reached` and `read` by value, then by channel."""

    def __init__(self, wiring: Wiring, kept: Kept) -> None:
        self.wiring, self.kept = wiring, kept
        self.reached = [np.zeros(width, np.bool_) for width in wiring.widths]
        self.read = [np.zeros(width, np.bool_) for width in wiring.widths]
        for value in wiring.inputs:
            self.reached[value][:] = True
        for _, value in wiring.outputs:
            self.read[value][:] = True
        for step in wiring.steps:
            self._forward(step)
        for step in reversed(wiring.steps):
            self._backward(step)

    def _forward(self, step: Step | Use) -> None:
        target = self.reached[step.target]
        if isinstance(step, Use):
            target |= self._through(step)
            return
        for read in step.reads:
            source = self.reached[read.source]
            if read.places is None:
                target |= source.any()
            else:
                target |= source[read.places] & (read.places >= 0)

    def _through(self, use: Use) -> Bools:
        edges, source = self.wiring.edges(use, self.kept), self.reached[use.source]
        width = self.wiring.widths[use.target]
        if use.depthwise:
            alive = source if edges is None else source & edges.any(axis=1)
            return np.broadcast_to(alive, (width,))
        blocks = spread(source, edges, use, width)
        if edges is None:
            return np.repeat(blocks.any(axis=1), width // use.groups)
        rows = edges.reshape(use.groups, width // use.groups, -1)
        return np.asarray((rows & blocks[:, None]).any(axis=2)).reshape(-1)

    def _backward(self, step: Step | Use) -> None:
        target = self.read[step.target]
        if isinstance(step, Use):
            self.read[step.source] |= self._back(step, target)
            return
        for read in step.reads:
            source = self.read[read.source]
            if read.places is None:
                source |= target.any()
            else:
                source[read.places[target & (read.places >= 0)]] = True

    def _back(self, use: Use, target: Bools) -> Bools:
        edges, width = self.wiring.edges(use, self.kept), self.wiring.widths[use.source]
        if use.depthwise:
            alive = target if edges is None else target & edges.any(axis=1)
        else:
            blocks = target.reshape(use.groups, -1)
            if edges is None:
                alive = np.repeat(blocks.any(axis=1), max(1, width // use.groups))
            else:
                rows = edges.reshape(use.groups, blocks.shape[1], -1)
                alive = np.asarray((rows & blocks[:, :, None]).any(axis=1)).reshape(-1)
        return alive if width == alive.size else np.broadcast_to(alive.any(), (width,))

    def faults(self) -> Mapping[str, Fault | None]:
        """For each layer why it carries no signal in any of its uses; None if it does."""
        found: dict[str, Fault | None] = {}
        for use in self._uses():
            if found.get(use.layer, "empty") is not None:
                found[use.layer] = self._fault(use)
        return found

    def _uses(self) -> Iterator[Use]:
        return (step for step in self.wiring.steps if isinstance(step, Use))

    def _fault(self, use: Use) -> Fault | None:
        edges, width = self.wiring.edges(use, self.kept), self.wiring.widths[use.target]
        source, target = self.reached[use.source], self.read[use.target]
        if edges is not None and not edges.any():
            return "empty"
        if use.depthwise:
            alive = np.ones(width, np.bool_) if edges is None else edges.any(axis=1)
            reached, read = source & alive, target & alive
        elif edges is None:
            reached = np.asarray(spread(source, edges, use, width).any(axis=1))
            read = np.asarray(target.reshape(use.groups, -1).any(axis=1))
        else:
            rows = edges.reshape(use.groups, width // use.groups, -1)
            reached = rows & spread(source, edges, use, width)[:, None]
            read = rows & target.reshape(use.groups, -1, 1)
        if (reached & read).any():
            return None
        if not reached.any():
            return "unreached"
        return "broken" if read.any() else "unread"


def spread(source: NDArray[np.generic], edges: Bools | None, use: Use, width: int) -> Bools:
    """[groups, in / groups]: a layer's input channels, group by group."""
    per_group = edges.shape[1] if edges is not None else max(1, source.size // use.groups)
    if source.size == use.groups * per_group:
        return np.asarray(source.reshape(use.groups, per_group))
    return np.asarray(np.broadcast_to(source, (use.groups, per_group)))
