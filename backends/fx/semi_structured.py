"""The `semi_structured` representation: two of every four, for GPUs with sparse tensor cores.

It is made without a GPU. Rows and columns are padded with zeros to what the hardware takes; where
values are narrower than the model, activations are cast before the layer and back after it. Values
in int8 have a scale for each output, and the layer rounds its activations by itself.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import fx
from torch.nn import functional

from lottoc.backends.fx.graph import ATEN, Graph, parts_of
from lottoc.backends.fx.representation import MaskedWeight, Unsuitable, narrowed, widened
from lottoc.runtime.semi_structured_int8 import quantized
from lottoc.runtime.two_of_four import first_excess, pack, unpack

VALUES, META, SCALES = "_values", "_meta", "_scales"
OPS: Any = torch.ops.lottoc


def encode(weight: MaskedWeight) -> dict[str, torch.Tensor]:
    """Values [m, k / 2] and metadata [m, k / 16] of the padded weight [m, k].

    Of int8 metadata are [m, k / 32], and scales [out] stand beside.
    """
    if weight.layer.kind == "conv":
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
    if weight.dtype == torch.int8:
        numbers, scales = _in_int8(weight.value)
        values, meta = pack(functional.pad(numbers, padding), kept)
        return {VALUES: values, META: meta, SCALES: scales}
    values, meta = pack(functional.pad(narrowed(weight), padding), kept)
    return {VALUES: values, META: meta}


def _in_int8(value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if not bool(value.isfinite().all()):
        raise Unsuitable("NaN and infinite weights have no place in int8")
    return quantized(value)


def is_two_of_four(kept: torch.Tensor) -> bool:
    """Whether a mask keeps no more than two of each four neighbours, the last padded."""
    return first_excess(functional.pad(kept, (0, -kept.shape[1] % 4))) is None


def rewrite(graph: Graph, weight: MaskedWeight, stored: dict[str, torch.Tensor]) -> None:
    """Linear layers read the packed weight; what else reads it gets it dense."""
    readers = graph.readers(weight.names)
    name = str(readers[0].target)
    nodes = [graph.store(name + ending, tensor) for ending, tensor in stored.items()]
    graph.replace_linear(readers, partial(_sparse_linear, graph, nodes, weight))
    if any(reader.users for reader in readers):
        dense = graph.call(None, OPS.semi_structured_to_dense.default, *nodes[:2], *weight.shape)
        if weight.dtype == torch.int8:
            dense = graph.call(None, ATEN.to.dtype, dense, torch.float32)
            column = graph.call(None, ATEN.unsqueeze.default, nodes[2], 1)
            dense = graph.call(None, ATEN.mul.Tensor, dense, column)
        if weight.dtype != weight.value.dtype:
            dense = graph.call(None, ATEN.to.dtype, dense, weight.value.dtype)
        graph.replace(readers, dense)


def _sparse_linear(
    graph: Graph, nodes: list[fx.Node], weight: MaskedWeight, linear: fx.Node
) -> fx.Node:
    """`x, bias -> to(narrow) -> semi_structured_linear -> to(wide)`"""
    x, bias = parts_of(linear)
    if weight.dtype == torch.int8:
        operator = OPS.semi_structured_linear_int8.default
        return graph.call(linear, operator, x, *nodes, bias, *weight.shape)
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
    dense = unpack(stored[VALUES], stored[META])[:rows, :columns].contiguous()
    return widened(dense, stored[SCALES]) if SCALES in stored else dense
