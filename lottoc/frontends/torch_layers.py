"""Which modules of a torch network are prunable layers, and which weights cannot be masked."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from lottoc.signature import Layer, LayerKind, Signature

_OLD_STYLE = {"weight_orig", "weight_g", "weight_v"}
"""Parameters that torch's older spectral norm, weight norm and pruning compute `weight` from."""


class UnfitLayer(Exception):
    """A weight that cannot be masked as it stands; the text names the module."""


def layer_kind(module: nn.Module) -> LayerKind | None:
    """What kind of layer a module is; None for one without a prunable weight."""
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return "conv"
    return None


def signature_of(module: nn.Module) -> Signature:
    """The linear and convolution layers in order of registration; a tied weight once.

    Raises `UnfitLayer`.
    """
    layers: list[Layer] = []
    seen: set[int] = set()
    for name, kind, weight in _weights(module):
        if id(weight) not in seen:
            seen.add(id(weight))
            dtype = str(weight.dtype).removeprefix("torch.")
            layers.append(Layer(name, kind, tuple(weight.shape), dtype))
    return Signature(tuple(layers))


def layer_weight_names(module: nn.Module) -> list[str]:
    """`<layer>.weight` of every prunable layer, in order of registration."""
    named = module.named_modules()
    return [f"{name}.weight" for name, part in named if layer_kind(part) is not None]


def _weights(module: nn.Module) -> Iterator[tuple[str, LayerKind, nn.Parameter]]:
    for name, part in module.named_modules():
        kind = layer_kind(part)
        if _is_quantized(part):
            raise UnfitLayer(f'layer "{name}" is quantized; prune the model before quantizing it')
        if kind is not None:
            yield name, kind, _plain_weight(name, part)


def _plain_weight(name: str, part: nn.Module) -> nn.Parameter:
    weight = part._parameters.get("weight")
    parametrized = parametrize.is_parametrized(part)
    if parametrized or (weight is None and _OLD_STYLE & part._parameters.keys()):
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
    raise UnfitLayer(f'layer "{name}" {problem}')


def _is_quantized(part: nn.Module) -> bool:
    kinds = ("Linear", "Conv1d", "Conv2d", "Conv3d")
    own = type(part)
    return own.__name__ in kinds and ".quantized." in f"{own.__module__}."
