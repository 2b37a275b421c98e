"""What a representation of a pruned weight in a torch graph is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch

from lottoc.backends.fx.graph import Graph
from lottoc.backends.fx.target import Target
from lottoc.runtime.semi_structured_int8 import quantized
from lottoc.signature import Layer


class Unsuitable(Exception):
    """A weight that a representation cannot hold; the text completes "cannot be stored as …:"."""


@dataclass(frozen=True)
class MaskedWeight:
    """A layer's weight [out, in, …], zero where `kept` [out, in, …] is False.

    `names` are those of the parameter in the graph, more than one if it is tied. `dtype` is the
    type that its values are to be stored in, where the representation lets them be narrower.
    """

    layer: Layer
    names: tuple[str, ...]
    value: torch.Tensor
    kept: torch.Tensor
    dtype: torch.dtype
    target: Target

    @property
    def shape(self) -> tuple[int, ...]:
        """Canonical shape."""
        return self.layer.shape


class Representation(Protocol):
    """A module of this folder."""

    def encode(self, weight: MaskedWeight) -> dict[str, torch.Tensor]:
        """What is stored, by the ending of its name; raises `Unsuitable`."""

    def rewrite(self, graph: Graph, weight: MaskedWeight, stored: dict[str, torch.Tensor]) -> None:
        """Store it, and let all that reads the weight read that instead."""

    def decode(self, stored: dict[str, torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
        """The dense weight again, of `shape`, from what `encode` gave."""


def rounded(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What a weight stored in a narrower type stands for: in that type, of int8 in float32."""
    if dtype != torch.int8:
        return value.to(dtype)
    numbers, scales = quantized(value.flatten(1))
    return widened(numbers, scales).view(value.shape)


def widened(numbers: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """int8 [out, in] times a scale for each output, in float32."""
    return numbers.float() * scales[:, None]


def narrowed(weight: MaskedWeight) -> torch.Tensor:
    """The weight in the type that it is stored in; raises `Unsuitable` for values out of range."""
    if weight.dtype == weight.value.dtype:
        return weight.value
    narrow = weight.value.to(weight.dtype)
    if bool((narrow.isinf() & ~weight.value.isinf()).any()):
        largest = float(weight.value.abs().max())
        raise Unsuitable(f"{largest:g} is too large for {name_of(weight.dtype)}")
    return narrow


def name_of(dtype: torch.dtype) -> str:
    """`float32` for `torch.float32`."""
    return str(dtype).removeprefix("torch.")


def dtype_of(name: str) -> torch.dtype:
    """`torch.float32` for `float32`."""
    found: Any = getattr(torch, name)
    assert isinstance(found, torch.dtype)
    return found
