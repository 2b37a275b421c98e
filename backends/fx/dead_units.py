"""Removes units that nothing reads or that nothing reaches: the program becomes smaller, exactly.

A unit is needed if a needed unit reads it with a weight that is not zero, unless what it reads is
a constant that can move into the reader's bias. Everything else leaves, row and column.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from lottoc.backends.fx.follow import find_units
from lottoc.backends.fx.graph import Graph, tensor_at
from lottoc.backends.fx.network import Cut
from lottoc.backends.fx.units import Mixer, Units, absorbable

Bools = NDArray[np.bool_]


@dataclass
class Removal:
    """By the names of weights in the graph what is left of them; names of all changed tensors."""

    cuts: dict[str, Cut] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)


def remove_dead_units(graph: Graph, whole: Collection[str] = ()) -> Removal:
    """Shrink a program's graph in place; outputs stay the same up to rounding of biases.

    Layers whose weights are named in `whole` keep all the channels they read.
    """
    units = find_units(graph)
    for mixer in units.mixers:
        if weight_of(mixer.node) in whole and mixer.source is not None:
            units.pinned.append(mixer.source.ids)
    needed = _needed(graph, units)
    removal = Removal()
    if not needed.all():
        _Rewrite(graph, units, needed, removal).run()
    return removal


def weight_of(node: fx.Node) -> str:
    """The name of a layer's weight."""
    weight = node.args[1]
    assert isinstance(weight, fx.Node)
    return str(weight.target)


def _needed(graph: Graph, units: Units) -> Bools:
    """Which units must stay; the least set that contains the pinned and all that it reads."""
    labels = units.labels()
    needed = np.zeros(units.count, np.bool_)
    for ids in units.pinned:
        needed[labels[ids]] = True
    demands = [(mixer, _demand(graph, mixer)) for mixer in reversed(units.mixers)]
    while True:
        before = int(needed.sum())
        for mixer, reads in demands:
            if mixer.source is not None:
                read = reads[needed[labels[mixer.ids]]].any(axis=0)
                needed[labels[mixer.source.ids[read]]] = True
        for carrier in units.carriers.values():
            if not needed[labels[carrier.ids]].any():
                needed[labels[carrier.ids[0]]] = True  # no value may lose all its channels
        if int(needed.sum()) == before:
            return needed[labels]


def _demand(graph: Graph, mixer: Mixer) -> Bools:
    """[out, in]: which weights need their input, because it is no constant to absorb."""
    reads: Bools = (mixer.weight != 0).any(axis=2)
    if mixer.source is None:
        return reads
    absorbed = absorbable(mixer)
    if not _can_have_bias(graph, mixer.node):
        absorbed &= mixer.source.numbers == 0
    return reads & ~absorbed


def _can_have_bias(graph: Graph, node: fx.Node) -> bool:
    if len(node.args) > 2 and node.args[2] is not None:
        return True
    owner = graph.module.get_submodule(weight_of(node).rpartition(".")[0])
    return getattr(owner, "bias", None) is None


@dataclass(frozen=True)
class _Rewrite:
    """Slices every tensor that has a number for a unit that leaves."""

    graph: Graph
    units: Units
    needed: Bools
    removal: Removal

    def run(self) -> None:
        for mixer in self.units.mixers:
            self._mixer(mixer)
        for node, owned in self.units.owners.items():
            kept = self._kept(node)
            if kept is not None:
                for tensor in owned:
                    self._slice(str(tensor.target), kept)
        for node in self.units.depthwise:
            kept = self._kept(node)
            if kept is not None:
                self.removal.cuts[weight_of(node)] = Cut(_places(kept), None)
                node.args = (*node.args[:6], int(kept.sum()))
        for node in self.units.views:
            self._view(node)

    def _kept(self, node: fx.Node) -> Bools | None:
        """Which channels of a value stay; None if it loses none."""
        kept = self.needed[self.units.carriers[node].ids]
        return None if kept.all() else kept

    def _mixer(self, mixer: Mixer) -> None:
        rows = self.needed[mixer.ids]
        columns = np.ones(mixer.weight.shape[1], np.bool_)
        if mixer.source is not None:
            columns = self.needed[mixer.source.ids]
        if rows.all() and columns.all():
            return
        self._bias(mixer, rows, columns)
        name = weight_of(mixer.node)
        cut = Cut(
            None if rows.all() else _places(rows), None if columns.all() else _places(columns)
        )
        self._set(name, cut.of(tensor_at(self.graph.module, name).detach()))
        self.removal.cuts[name] = cut

    def _bias(self, mixer: Mixer, rows: Bools, columns: Bools) -> None:
        """Move what constant columns that leave contribute into the bias, and slice it."""
        moved = np.zeros(len(rows))
        if mixer.source is not None:
            leave = ~columns & absorbable(mixer)
            moved = mixer.weight[:, leave].sum(axis=2) @ mixer.source.numbers[leave]
            moved[~rows] = 0
        node = mixer.node
        if len(node.args) > 2 and node.args[2] is not None:
            bias = node.args[2]
            assert isinstance(bias, fx.Node)
            own = tensor_at(self.graph.module, str(bias.target)).detach()
            if moved.any():
                own = torch.from_numpy(mixer.bias + moved).to(own.dtype)
            self._set(str(bias.target), own[torch.from_numpy(rows)])
        elif moved.any():
            weight = weight_of(node)
            name = f"{weight.rpartition('.')[0]}.bias".lstrip(".")
            dtype = tensor_at(self.graph.module, weight).dtype
            self._set(name, torch.from_numpy(moved[rows]).to(dtype))
            with self.graph.nodes.inserting_before(node):
                added = self.graph.nodes.get_attr(name)
            node.args = (*node.args[:2], added, *node.args[3:])

    def _slice(self, name: str, kept: Bools) -> None:
        self._set(name, tensor_at(self.graph.module, name).detach()[torch.from_numpy(kept)])

    def _set(self, name: str, tensor: torch.Tensor) -> None:
        owner, _, leaf = name.rpartition(".")
        part = self.graph.module.get_submodule(owner)
        if leaf in part._buffers:
            part._buffers[leaf] = tensor.contiguous()
        else:
            setattr(part, leaf, nn.Parameter(tensor.contiguous()))
        self.removal.changed.add(name)

    def _view(self, node: fx.Node) -> None:
        kept = self._kept(node)
        if kept is None:
            return
        sizes = list(node.args[1])  # type: ignore[arg-type]
        if sizes[-1] == kept.size:
            sizes[-1] = int(kept.sum())
        node.args = (node.args[0], sizes)


def _places(kept: Bools) -> tuple[int, ...]:
    return tuple(int(place) for place in np.flatnonzero(kept))
