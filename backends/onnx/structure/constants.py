"""Which channels of which values are the same number for every input, and which number.

A unit none of whose live inputs is left is constant: its bias, passed through whatever follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lottoc.backends.onnx.structure.operators import (
    BINARY,
    POOLING,
    REDUCTIONS,
    UNARY,
    constant,
    integer,
    is_padded,
    rank,
)
from lottoc.backends.onnx.structure.units import Carrier, Linear, Units

Numbers = NDArray[np.float64]
"""One number a channel; NaN where the channel is not constant."""


def find_constants(graph: ir.Graph, units: Units) -> dict[ir.Value, Numbers]:
    """For each value that carries units, its constant channels."""
    linears = {linear.node: linear for linear in units.linears}
    free = units.free()
    depthwise = set(units.depthwise)
    found: dict[ir.Value, Numbers] = {}
    for node in graph:
        carrier = units.carriers.get(node.outputs[0]) if node.outputs else None
        if carrier is None:
            continue
        if not free[carrier.ids].any() and not _hears_constants(node, found):
            numbers = np.full(carrier.ids.size, np.nan)  # whatever it is, it has to stay
        elif node in linears:
            numbers = _linear(linears[node], found)
        elif node in depthwise:
            numbers = _depthwise(node, found)
        else:
            numbers = _elementwise(node, carrier, units, found)
        found[node.outputs[0]] = numbers
    return found


def _hears_constants(node: ir.Node, found: dict[ir.Value, Numbers]) -> bool:
    return any(v in found and not np.isnan(found[v]).all() for v in node.inputs if v is not None)


def bias_of(node: ir.Node, length: int) -> Numbers:
    """The bias of a layer, zeros if it has none."""
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None
    if bias is None:
        return np.zeros(length)
    return np.broadcast_to(bias.astype(np.float64).reshape(-1), (length,))


def absorbable(linear: Linear, numbers: Numbers) -> NDArray[np.bool_]:
    """Which constant input channels a layer can take into its bias, exactly.

    At the edge of a padded convolution some of its places read zeros instead of the constant.
    """
    known = ~np.isnan(numbers)
    if linear.node.op_type == "Conv" and is_padded(linear.node):
        known &= numbers == 0
    return known


@dataclass(frozen=True)
class Merged:
    """Constant inputs of a padded convolution that one of them can stand for, exactly.

    Each is a multiple of the `keeper` at every place, at the edges too, where both are zero.
    """

    keeper: int
    others: NDArray[np.bool_]
    ratios: Numbers
    """What each of the others is of the keeper; at most 1 in size."""


def merged(linear: Linear, numbers: Numbers) -> Merged | None:
    """Which constant inputs a convolution can read through one of them; None if there is nothing.

    What it can absorb into its bias it need not read at all; groups share no inputs.
    """
    if linear.groups > 1:
        return None
    read = (linear.weight != 0).any(axis=(0, 2))
    constant_ = ~np.isnan(numbers) & ~absorbable(linear, numbers) & read
    if np.count_nonzero(constant_) < 2:
        return None
    keeper = int(np.argmax(np.where(constant_, np.abs(numbers), -1)))
    others = constant_.copy()
    others[keeper] = False
    return Merged(keeper, others, np.where(others, numbers, 0) / numbers[keeper])


def _linear(linear: Linear, found: dict[ir.Value, Numbers]) -> Numbers:
    outputs = linear.weight.shape[0]
    source = linear.node.inputs[0]
    inputs = linear.weight.shape[1] * linear.groups
    numbers = found.get(source) if source is not None else None
    if numbers is None:
        numbers = np.full(inputs, np.nan)
    taken = absorbable(linear, numbers)
    result = bias_of(linear.node, outputs).copy()
    per_group, rows = linear.weight.shape[1], outputs // linear.groups
    for group in range(linear.groups):
        at = slice(group * rows, (group + 1) * rows)
        columns = slice(group * per_group, (group + 1) * per_group)
        weight, free = linear.weight[at], ~taken[columns]
        varies = (weight[:, free] != 0).any(axis=(1, 2))
        values = np.where(taken[columns], numbers[columns], 0)
        if values.any():
            result[at] += weight.sum(axis=2, dtype=np.float64) @ values
        result[at][varies] = np.nan
    return result


def _depthwise(node: ir.Node, found: dict[ir.Value, Numbers]) -> Numbers:
    source, weight = node.inputs[0], constant(node.inputs[1])
    assert source is not None
    assert weight is not None
    flat = weight.reshape(weight.shape[0], -1).astype(np.float64)
    numbers = found.get(source, np.full(flat.shape[0], np.nan))
    if is_padded(node):
        numbers = np.where(numbers == 0, 0.0, np.nan)
    dead = ~flat.any(axis=1)
    sums = np.where(dead, 0.0, flat.sum(axis=1) * np.where(dead, 0.0, numbers))
    return sums + bias_of(node, flat.shape[0])


def _elementwise(
    node: ir.Node, carrier: Carrier, units: Units, found: dict[ir.Value, Numbers]
) -> Numbers:
    """Run the operator itself, by ONNX's reference evaluator, on one element a channel."""
    nothing = np.full(carrier.ids.size, np.nan)
    carried = [v for v in node.inputs if v is not None and v in units.carriers]
    if not carried or any(v not in found for v in carried):
        return nothing
    if node.op_type == "Concat":
        parts = [found[v] for v in carried]
        same = all(np.array_equal(parts[0], part, equal_nan=True) for part in parts)
        joined = np.concatenate(parts)
        return joined if joined.size == carrier.ids.size else parts[0] if same else nothing
    numbers = found[carried[0]]
    if node.op_type in ("Flatten", "Reshape"):
        return np.repeat(numbers, carrier.ids.size // numbers.size)
    if node.op_type == "Transpose":
        return numbers
    if node.op_type in POOLING or node.op_type in REDUCTIONS:
        return _pooled(node, numbers)
    if node.op_type in UNARY or node.op_type in BINARY or node.op_type == "BatchNormalization":
        return _evaluated(node, carrier, found)
    return nothing


def _pooled(node: ir.Node, numbers: Numbers) -> Numbers:
    """The mean or maximum of equal numbers is that number, unless padding or a sum joins in."""
    counts_padding = integer(node, "count_include_pad", 0) and is_padded(node)
    if node.op_type == "ReduceSum" or (node.op_type == "AveragePool" and counts_padding):
        return np.where(numbers == 0, 0.0, np.nan)
    return numbers


def _evaluated(node: ir.Node, carrier: Carrier, found: dict[ir.Value, Numbers]) -> Numbers:
    nothing = np.full(carrier.ids.size, np.nan)
    length = rank(node.outputs[0])
    if length is None:
        return nothing
    shape = [1] * length
    shape[carrier.axis] = carrier.ids.size
    feeds = {}
    for value in node.inputs:
        if value is None:
            continue
        given = constant(value)
        if value in found:
            numbers = np.nan_to_num(found[value]).reshape(shape)
            feeds[value.name or ""] = numbers.astype(_dtype(value))
        elif given is not None and (node.op_type == "BatchNormalization" or _spreads(given, shape)):
            feeds[value.name or ""] = given
        else:
            return nothing
    varies = np.zeros(carrier.ids.size, np.bool_)
    for value in node.inputs:
        if value in found:
            varies |= np.isnan(found[value])
    result = _run(node, feeds)
    if result is None:
        return nothing
    result = np.broadcast_to(result, shape).reshape(-1).astype(np.float64)
    return np.where(varies | ~np.isfinite(result), np.nan, result)


def _run(node: ir.Node, feeds: dict[str, NDArray[Any]]) -> NDArray[Any] | None:
    """The node's output, if the reference evaluator knows the operator."""
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    opset = node.graph.opset_imports.get("", 18) if node.graph is not None else 18
    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in feeds.items()
    ]
    proto: Any = ir.to_proto(node)
    output = helper.make_empty_tensor_value_info(node.outputs[0].name or "")
    graph = helper.make_graph([proto], "one", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    try:
        with np.errstate(all="ignore"):
            result: Any = ReferenceEvaluator(model).run(None, feeds)
    except Exception:  # whatever it does not know, or does not take
        return None
    array: NDArray[Any] = np.asarray(result[0])
    return array


def _dtype(value: ir.Value) -> np.dtype[np.generic]:
    return value.dtype.numpy() if value.dtype is not None else np.dtype(np.float32)


def _spreads(given: NDArray[np.generic], shape: list[int]) -> bool:
    """Whether a constant operand has one number a channel, the same at every place."""
    try:
        return np.broadcast_shapes(given.shape, tuple(shape)) == tuple(shape)
    except ValueError:
        return False
