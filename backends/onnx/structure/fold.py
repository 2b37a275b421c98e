"""Puts the order of channels into the weight of a dense layer that reads them.

A layer that stays dense would need its input's channels picked back into order, one by one, every
time the model runs. Its weight's columns are picked instead, once.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lottoc.backends.onnx.structure.layout import Layout, Twin, Twins
from lottoc.backends.onnx.structure.operators import constant, integer
from lottoc.backends.onnx.structure.replace import Constants


def fold_order(
    node: ir.Node, twins: Twins, constants: Constants, masked: frozenset[str]
) -> ir.Value | None:
    """What a dense layer may read instead of its input, its weight changed; None if nothing.

    Weights in `masked` keep the order of their columns, for they are stored by their masks, and so
    do weights that somebody else reads too, and inputs with padding.
    """
    source = node.inputs[0] if node.inputs else None
    twin = twins.only.get(source) if source is not None else None
    if twin is None or twin.order is None or twin.length != twin.channels:
        return None
    axis = _input_axis(node, twin)
    if axis is None:
        return None
    weight = node.inputs[1]
    if weight is None or weight.name in masked or len(weight.uses()) != 1:
        return None
    numbers = constant(weight)
    if numbers is None or numbers.shape[axis] != twin.channels:
        return None
    places = np.argsort(twin.order)

    def moved(given: NDArray[np.generic]) -> NDArray[np.generic]:
        return given.take(places, axis)

    constants.replace(node, 1, moved)
    return twins.put_right(replace(twin, order=None), node)


def _input_axis(node: ir.Node, twin: Twin) -> int | None:
    """Which axis of its weight a layer sums over the channels of `twin`.

    None of other nodes, of grouped layers, and of layers that sum over the places of an image or a
    sequence, of which there may be as many as channels.
    """
    if node.domain not in ("", "ai.onnx") or len(node.inputs) < 2:
        return None
    weight = node.inputs[1]
    axes = len(weight.shape) if weight is not None and weight.shape is not None else 0
    if node.op_type == "Conv":
        in_front = twin.layout is Layout.PLAIN
        return 1 if in_front and integer(node, "group", 1) == 1 else None
    if node.op_type == "MatMul":
        behind = twin.layout is Layout.TURNED or twin.rank == 2
        return 0 if behind and axes == 2 else None
    if node.op_type == "Gemm" and not integer(node, "transA", 0):
        return 1 if integer(node, "transB", 0) else 0
    return None
