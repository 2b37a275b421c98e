"""What ONNX operators do to channels, as sets of names that the rewrites share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lottoc.frontends.protobuf import Damaged

UNARY = frozenset(
    {
        *("Abs", "Cast", "Ceil", "Celu", "Clip", "Cos", "Dropout", "Elu", "Erf", "Exp", "Floor"),
        *("Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "Mish", "Neg"),
        *("Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softplus"),
        *("Softsign", "Sqrt", "Swish", "Tanh", "ThresholdedRelu"),
    }
)
"""Each element of the output is a function of the same element of the input."""

BINARY = frozenset(["Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Max", "Min"])
"""The same for two inputs, after broadcasting."""

POOLING = frozenset(["MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"])
"""Over all axes from 2 on; channels stay apart."""

REDUCTIONS = frozenset(["ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum"])


def constant(value: ir.Value | None) -> NDArray[np.generic] | None:
    """The numbers of an initializer that no caller can override, or None."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    try:
        return value.const_value.numpy()
    except Exception as error:  # whatever onnx-ir raises on numbers that are not as described
        raise Damaged(f'the numbers of "{value.name}" cannot be read: {error}') from error


def integers(node: ir.Node, name: str, default: Sequence[int]) -> tuple[int, ...]:
    """An attribute that is a list of integers."""
    attribute = node.attributes.get(name)
    return tuple(default if attribute is None else attribute.as_ints())


def integer(node: ir.Node, name: str, default: int) -> int:
    """An attribute that is one integer."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def rank(value: ir.Value) -> int | None:
    """The number of axes, if shape inference found it."""
    return None if value.shape is None else len(value.shape)


def size(value: ir.Value, axis: int) -> int | None:
    """The length of an axis, if it is fixed."""
    if value.shape is None:
        return None
    length = value.shape[axis]
    return length if isinstance(length, int) else None


def is_padded(node: ir.Node) -> bool:
    """Whether a convolution or pooling looks beyond the edge of its input."""
    automatic = node.attributes.get("auto_pad")
    if automatic is not None and automatic.as_string() not in ("NOTSET", "VALID"):
        return True
    return any(integers(node, "pads", ())) or bool(integer(node, "ceil_mode", 0))


def reduced_axes(node: ir.Node, input_rank: int) -> tuple[int, ...] | None:
    """The axes a reduction works over, not negative; None if they are computed."""
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        given = constant(node.inputs[1])
        if given is None:
            return None
        axes: Sequence[int] = [int(axis) for axis in given.ravel()]
    else:
        axes = integers(node, "axes", ())
    if not axes:
        axes = () if integer(node, "noop_with_empty_axes", 0) else range(input_rank)
    return tuple(sorted(axis % input_rank for axis in axes))
