"""The `csr` representation: the kept weights alone, multiplied by torch's own kernels."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import fx

from lottoc.backends.fx.graph import Graph, parts_of
from lottoc.backends.fx.representation import MaskedWeight, Unsuitable, name_of

STARTS, PLACES, VALUES = "_starts", "_places", "_values"
OPS: Any = torch.ops.lottoc
LARGEST = (1 << 31) - 1


def encode(weight: MaskedWeight) -> dict[str, torch.Tensor]:
    """Where rows begin [out + 1], the columns and the values of kept weights [kept]."""
    if weight.layer.kind == "conv":
        raise Unsuitable("it is a convolution")
    if weight.value.dtype not in (torch.float32, torch.float64):
        raise Unsuitable(f"torch has no fast sparse kernels for {name_of(weight.value.dtype)}")
    counts = weight.kept.sum(1)
    if int(counts.sum()) > LARGEST:
        raise Unsuitable(f"it keeps more than {LARGEST} weights")
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    places = weight.kept.nonzero()[:, 1]
    return {
        STARTS: starts.int(),
        PLACES: places.int(),
        VALUES: weight.value[weight.kept],
    }


def rewrite(graph: Graph, weight: MaskedWeight, stored: dict[str, torch.Tensor]) -> None:
    """Linear layers compute with the kept weights; what else reads the weight gets it dense."""
    readers = graph.readers(weight.names)
    name = str(readers[0].target)
    nodes = [graph.store(name + ending, tensor) for ending, tensor in stored.items()]
    columns = weight.shape[1]
    graph.replace_linear(readers, partial(_sparse_linear, graph, nodes, columns))
    if any(reader.users for reader in readers):
        dense = graph.call(None, OPS.csr_to_dense.default, *nodes, columns)
        graph.replace(readers, dense)


def _sparse_linear(graph: Graph, nodes: list[fx.Node], columns: int, linear: fx.Node) -> fx.Node:
    x, bias = parts_of(linear)
    return graph.call(linear, OPS.csr_linear.default, x, *nodes, bias, columns)


def decode(stored: dict[str, torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
    """The kept weights at their places."""
    starts, places, values = stored[STARTS], stored[PLACES], stored[VALUES]
    rows = torch.repeat_interleave(torch.arange(len(starts) - 1), starts.diff())
    dense = torch.zeros(shape, dtype=values.dtype)
    dense[rows, places.long()] = values
    return dense
