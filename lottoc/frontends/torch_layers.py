"""Which parameters of a torch network are prunable layers, and which weights cannot be masked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from lottoc.signature import Layer, LayerKind, Signature, layer_called


@dataclass(frozen=True)
class Prunable:
    """A kind of module, and which of its parameters are weights [out, in, …] of layers."""

    modules: tuple[type[nn.Module], ...]
    kind: LayerKind
    weights: Callable[[Any], tuple[str, ...]]


def _weight(module: nn.Module) -> tuple[str, ...]:
    return ("weight",)


def _projections(attention: nn.MultiheadAttention) -> tuple[str, ...]:
    """Of queries, keys and values: below one another in one matrix if they are equally wide.

    The output projection is a linear layer of its own.
    """
    if attention._qkv_same_embed_dim:
        return ("in_proj_weight",)
    return ("q_proj_weight", "k_proj_weight", "v_proj_weight")


def _steps(memory: nn.RNNBase) -> tuple[str, ...]:
    """By layer and direction, from the input and from the state before; gates below one another."""
    return tuple(name for name in memory._flat_weights_names if name.startswith("weight"))


def _step(cell: nn.RNNCellBase) -> tuple[str, ...]:
    return ("weight_ih", "weight_hh")


PRUNABLE = (
    Prunable((nn.Linear,), "linear", _weight),
    Prunable((nn.Conv1d, nn.Conv2d, nn.Conv3d), "conv", _weight),
    Prunable((nn.MultiheadAttention,), "attention", _projections),
    Prunable((nn.RNNBase,), "recurrent", _steps),
    Prunable((nn.RNNCellBase,), "recurrent", _step),
)
"""What is prunable. A weight is a layer of its own, whatever module it stands in."""

_OLD_STYLE = ("_orig", "_g", "_v")
"""Endings of what torch's older spectral norm, weight norm and pruning compute a weight from."""


class UnfitLayer(Exception):
    """A weight that cannot be masked as it stands; the text names the layer."""


def layer_weights(module: nn.Module) -> Iterator[tuple[str, LayerKind]]:
    """Which of a module's own parameters are weights of layers, and of which kind."""
    for prunable in PRUNABLE:
        if isinstance(module, prunable.modules):
            yield from ((leaf, prunable.kind) for leaf in prunable.weights(module))


def signature_of(module: nn.Module) -> Signature:
    """The prunable layers in order of registration; a tied weight once.

    Raises `UnfitLayer`.
    """
    layers: list[Layer] = []
    seen: set[int] = set()
    for name, kind, weight in _weights(module):
        if id(weight) not in seen:
            seen.add(id(weight))
            dtype = str(weight.dtype).removeprefix("torch.")
            layers.append(Layer(layer_called(name), kind, tuple(weight.shape), dtype))
    return Signature(tuple(layers))


def layer_weight_names(module: nn.Module) -> list[str]:
    """The names of the weights of all prunable layers, such as `fc1.weight`, as registered."""
    named = module.named_modules()
    return [_path(name, leaf) for name, part in named for leaf, _ in layer_weights(part)]


def _path(module: str, leaf: str) -> str:
    return f"{module}.{leaf}" if module else leaf


def _weights(module: nn.Module) -> Iterator[tuple[str, LayerKind, nn.Parameter]]:
    for name, part in module.named_modules():
        if _is_quantized(part):
            raise UnfitLayer(f'layer "{name}" is quantized; prune the model before quantizing it')
        for leaf, kind in layer_weights(part):
            path = _path(name, leaf)
            yield path, kind, _plain_weight(layer_called(path), part, leaf)


def _plain_weight(layer: str, part: nn.Module, leaf: str) -> nn.Parameter:
    weight = part._parameters.get(leaf)
    parametrized = parametrize.is_parametrized(part, leaf)
    old = any(f"{leaf}{ending}" in part._parameters for ending in _OLD_STYLE)
    if parametrized or (weight is None and old):
        problem = "has a parametrized weight; remove the parametrization"
    elif weight is None:
        problem = "has no weight parameter of its own"
    elif isinstance(weight, UninitializedParameter):
        problem = "is lazy; give it its input size"
    elif type(weight.data) is not torch.Tensor:
        problem = f"stores its weight as {type(weight.data).__name__}, not as a plain tensor"
    elif not weight.dtype.is_floating_point or weight.element_size() < 2:
        problem = f"has weights of type {str(weight.dtype).removeprefix('torch.')}"
    else:
        return weight
    raise UnfitLayer(f'layer "{layer}" {problem}')


_QUANTIZED = ("Linear", "Conv1d", "Conv2d", "Conv3d", "MultiheadAttention", "LSTM", "GRU")


def _is_quantized(part: nn.Module) -> bool:
    own = type(part)
    return own.__name__ in _QUANTIZED and ".quantized." in f"{own.__module__}."
