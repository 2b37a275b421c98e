"""Which layers share an order of channels: for the lowering of patterns that have one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from xdsl.dialects.builtin import IntegerAttr, i64
from xdsl.ir import Operation, SSAValue

from lottoc.ir import lotto, mask
from lottoc.ir.place import pass_failed
from lottoc.ir.plain import string_array
from lottoc.ir.types import OrderType
from lottoc.masks.patterns.nm import NofM
from lottoc.signature import Layer

Add = Callable[[Operation], SSAValue]
PerLayer = Mapping[str, SSAValue]


def order_of(value: SSAValue) -> SSAValue | None:
    """The order that a mask of one layer comes with."""
    return value.owner.order if isinstance(value.owner, mask.KeepOp) else None


def orders(
    pattern: NofM, scores: PerLayer, within: PerLayer, layers: Mapping[str, Layer], add: Add
) -> PerLayer:
    """For each layer whose channels may be reordered its order: an earlier mask's, or a new one.

    `mask.order` looks at all layers that read the same channels.
    """
    sets: dict[int, list[str]] = {}
    for name in scores:
        reads = layers[name].reads
        if reads is not None:
            sets.setdefault(reads, []).append(name)
    found: dict[str, SSAValue] = {}
    for names in sets.values():
        earlier = [order_of(within[name]) for name in names if name in within]
        order = next((e for e in earlier if e is not None), None)
        if order is None:
            of = [scores[name] for name in names]
            order = add(_order(pattern, of))
        found |= dict.fromkeys(names, order)
    return found


def _order(pattern: NofM, scores: list[SSAValue]) -> mask.OrderOp:
    properties = {"n": IntegerAttr(pattern.n, i64), "m": IntegerAttr(pattern.m, i64)}
    channels = mask.scores_type(scores[0]).shape[1]
    return mask.OrderOp.build(
        operands=[scores], properties=properties, result_types=[OrderType(channels)]
    )


def with_orders(op: lotto.EmitOp, masks: PerLayer) -> lotto.EmitOp | None:
    """`lotto.emit` with the orders of the masks that it is under; None if there are none."""
    found = {name: order for name, value in masks.items() if (order := order_of(value)) is not None}
    if not found or op.orders:
        return None
    if op.kind.data != "onnx":
        message = (
            f'an artefact of kind "{op.kind.data}" cannot have its channels in another order yet'
        )
        raise pass_failed(
            op, message, ("write it with  emit onnx, or prune it with  pattern = 2:4",)
        )
    properties: dict[str, Any] = {k: v for k, v in op.properties.items() if "Segment" not in k}
    return lotto.EmitOp.build(
        operands=[op.weights, op.masks, op.data, list(found.values()), op.base],
        properties={**properties, "ordered": string_array(list(found))},
    )
