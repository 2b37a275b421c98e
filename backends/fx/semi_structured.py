"""The `semi_structured` representation: two of every four, for GPUs with sparse tensor cores.

It is made without a GPU. Rows and columns are padded with zeros to what the hardware takes; where
values are narrower than the model, activations are cast before the layer and back after it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import fx
from torch.nn import functional

from lottoc.backends.fx.graph import ATEN, Graph, parts_of
from lottoc.backends.fx.representation import MaskedWeight, Unsuitable, narrowed
from lottoc.runtime.two_of_four import first_excess, pack, unpack

VALUES, META = "_values", "_meta"
OPS: Any = torch.ops.lottoc


def encode(weight: MaskedWeight) -> dict[str, torch.Tensor]:
    """Values [m, k / 2] and metadata [m, k / 16] of the padded weight [m, k]."""
    if weight.layer.kind != "linear":
        raise Unsuitable("it is a convolution")
    rows, columns = weight.shape
    least_rows, least_columns = weight.target.multiples(weight.dtype)
    padding = (0, -columns % least_columns, 0, -rows % least_rows)
    kept = functional.pad(weight.kept, padding)
    excess = first_excess(kept)
    if excess is not None:
        row, column = excess
        raise Unsuitable(
            f"its mask is not 2:4, row {row} keeps more than two of columns "
            f"{column} to {min(column + 3, columns - 1)}"
        )
    values, meta = pack(functional.pad(narrowed(weight), padding), kept)
    return {VALUES: values, META: meta}


def rewrite(graph: Graph, weight: MaskedWeight, stored: dict[str, torch.Tensor]) -> None:
    """Linear layers read the packed weight; what else reads it gets it dense."""
    readers = graph.readers(weight.names)
    name = str(readers[0].target)
    nodes = [graph.store(name + ending, tensor) for ending, tensor in stored.items()]
    graph.replace_linear(readers, partial(_sparse_linear, graph, nodes, weight))
    if any(reader.users for reader in readers):
        dense = graph.call(None, OPS.semi_structured_to_dense.default, *nodes, *weight.shape)
        if weight.dtype != weight.value.dtype:
            dense = graph.call(None, ATEN.to.dtype, dense, weight.value.dtype)
        graph.replace(readers, dense)


def _sparse_linear(
    graph: Graph, nodes: list[fx.Node], weight: MaskedWeight, linear: fx.Node
) -> fx.Node:
    """`x, bias -> to(narrow) -> semi_structured_linear -> to(wide)`"""
    x, bias = parts_of(linear)
    wide = weight.value.dtype

    def cast(node: fx.Node, dtype: torch.dtype) -> fx.Node:
        return node if weight.dtype == wide else graph.call(linear, ATEN.to.dtype, node, dtype)

    x = cast(x, weight.dtype)
    bias = None if bias is None else cast(bias, weight.dtype)
    operator = OPS.semi_structured_linear.default
    return cast(graph.call(linear, operator, x, *nodes, bias, *weight.shape), wide)


def decode(stored: dict[str, torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
    """The weight without its padding."""
    rows, columns = shape
    return unpack(stored[VALUES], stored[META])[:rows, :columns].contiguous()
