"""Which weights a torch module multiplies when it is called, and what it multiplies them with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lottoc.frontends.torch_layers import layer_weights

Given = tuple[tuple[Any, ...], Mapping[str, Any]]
"""Arguments of a call, and those by name."""


@dataclass(frozen=True)
class Watched:
    """A weight of a module, by its path there.

    `given` finds in a call what multiplies the weight; None where its parts multiply different
    things.
    """

    leaf: str
    weight: torch.Tensor
    given: Callable[[nn.Module, Given], torch.Tensor | None]


def watched(part: nn.Module) -> Iterator[Watched]:
    """The weights that a module uses when it is called, in the order in which it does."""
    if isinstance(part, nn.MultiheadAttention):
        for leaf, _ in layer_weights(part):
            yield Watched(leaf, getattr(part, leaf), _ATTENTION[leaf])
        yield Watched("out_proj.weight", part.out_proj.weight, _attended)
        return
    for leaf, kind in layer_weights(part):
        if kind != "recurrent":
            yield Watched(leaf, getattr(part, leaf), _first)


def seen_by(
    part: nn.Module, given: Given, leaves: Container[str]
) -> Iterator[tuple[str, torch.Tensor | None]]:
    """For some weights of a module that is about to run, what they will be multiplied with.

    It is found when it is asked for, with the weights as they are then.
    """
    for weight in watched(part):
        if weight.leaf in leaves:
            yield weight.leaf, weight.given(part, given)


def _first(part: nn.Module, given: Given) -> torch.Tensor:
    found: torch.Tensor = (*given[0], *given[1].values())[0]
    return found


def _argument(position: int, name: str) -> Callable[[nn.Module, Given], torch.Tensor]:
    def found(part: nn.Module, given: Given) -> torch.Tensor:
        tensor: torch.Tensor = given[0][position] if len(given[0]) > position else given[1][name]
        return tensor

    return found


_QUERY, _KEY, _VALUE = (_argument(i, n) for i, n in enumerate(("query", "key", "value")))


def _same(part: nn.Module, given: Given) -> torch.Tensor | None:
    query, key, value = _QUERY(part, given), _KEY(part, given), _VALUE(part, given)
    return query if query is key and key is value else None


_ATTENTION = {
    "in_proj_weight": _same,
    "q_proj_weight": _QUERY,
    "k_proj_weight": _KEY,
    "v_proj_weight": _VALUE,
}


def _attended(part: nn.Module, given: Given) -> torch.Tensor:
    """What the output projection is given: what attention gives with the identity in its place."""
    weight: torch.Tensor = part.out_proj.weight  # type: ignore[union-attr, assignment]
    size = weight.shape[0]
    probe = copy.copy(part)
    probe._modules = dict(part._modules)
    probe._forward_pre_hooks = type(part._forward_pre_hooks)()
    probe.out_proj = nn.Linear(size, size, bias=False, device="meta")
    probe.out_proj.weight = nn.Parameter(torch.eye(size, dtype=weight.dtype), requires_grad=False)
    found: torch.Tensor = probe(*given[0], **given[1])[0]
    return found
