"""A ticket's network as a torch module with its masks in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lottoc.frontends.exporting import BATCH
from lottoc.frontends.torch_model import TorchModel
from lottoc.signature import Layer, Signature, parameter_of
from lottoc.training.module import aliases, layer_tensor, load_model, named_tensors
from lottoc.training.state import State

Masks = Callable[[str], NDArray[np.bool_] | None]
"""Gives the mask of a layer, True where kept; None if it has none."""


@dataclass(frozen=True)
class Cut:
    """What is left of a weight: rows and columns in order, None where all are."""

    rows: tuple[int, ...] | None = None
    columns: tuple[int, ...] | None = None

    def of(self, weight: torch.Tensor) -> torch.Tensor:
        """That part of a weight [out, in, …]."""
        weight = weight if self.rows is None else weight[list(self.rows)]
        return weight if self.columns is None else weight[:, list(self.columns)]


WHOLE = Cut()


@dataclass(frozen=True)
class Network:
    """A module in evaluation mode whose pruned weights are +0.0, and its layers."""

    module: nn.Module
    signature: Signature
    names: dict[str, tuple[str, ...]]
    """All names of each parameter, by the one that its layer is called by."""
    kept: dict[str, torch.Tensor]
    """Masks by layer, True where a weight is kept."""
    cuts: Mapping[str, Cut] = field(default_factory=dict)
    """By layer what is left of it, where dead units have left the program."""
    open: Mapping[int, str] = field(default_factory=lambda: BATCH)
    """Dimensions of the input that may be of any length, and what they are called."""

    def weight(self, layer: Layer) -> torch.Tensor:
        """A layer's masked weight, canonical."""
        whole = layer_tensor(named_tensors(self.module), layer.name).detach()
        return self.cut(layer).of(whole)

    def cut(self, layer: Layer) -> Cut:
        """What is left of a layer."""
        return self.cuts.get(layer.name, WHOLE)

    def without(self, cuts: Mapping[str, Cut]) -> Network:
        """The same of which only a part is left, by the names of weights."""
        found = {
            layer.name: cuts[name]
            for layer in self.signature
            for name in self.aliases(layer)
            if name in cuts
        }
        kept = {name: found.get(name, WHOLE).of(mask) for name, mask in self.kept.items()}
        cut = replace(self, kept=kept, cuts=found)
        layers = [replace(each, shape=tuple(cut.weight(each).shape)) for each in self.signature]
        return replace(cut, signature=Signature(tuple(layers)))

    def aliases(self, layer: Layer) -> tuple[str, ...]:
        """The names of a layer's weight."""
        return self.names[parameter_of(layer.name, self.names)]


def masked_network(model: TorchModel, state: State, masks: Masks) -> Network:
    """The network with the weights of `state` under its masks.

    Raises `InputError`: torch-model, torch-layer, state-mismatch.
    """
    signature, module = model.signature(), model.build(0)
    load_model(module, state)
    tensors, kept = named_tensors(module), {}
    for layer in signature:
        mask = masks(layer.name)
        if mask is None:
            continue
        kept[layer.name] = torch.from_numpy(mask)
        weight = layer_tensor(tensors, layer.name)
        with torch.no_grad():
            # a product would leave -0.0, and NaN where a pruned weight is one
            weight.copy_(torch.where(kept[layer.name], weight, 0.0))
    names = {name: tuple(others) for name, others in aliases(module).items()}
    return Network(module.eval(), signature, names, kept)
