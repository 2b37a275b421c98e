"""The types that numbers are stored in, narrower than a weight's own, and what gives them back.

    float16, bfloat16 --Cast--> weight
    int8 --Cast--> float --Mul(scale of the output)--> [--Cast-->] weight
    int8 --DequantizeLinear(scale of the output)--> weight, of layers that multiply in int8

Floats round to nearest, ties to even. int8 is symmetric and has a scale for each output of the
layer: with w the kept weights of one output, in the type of the scale,

    scale = max|w| / 127, or 1 where that is 0
    q     = w / scale, in double precision, to the nearest, ties to even

so that a zero is stored as the zero it is, and no weight is off by more than half a scale. Scales
are float32, of a float64 weight float64. onnxruntime folds all of it away while loading, but for
DequantizeLinear: that it leaves in the graph, or fuses with what follows, in the arithmetic of
`quantized`. The numbers that it gives are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx.parts import NewNode, NewTensor
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_schema import DataType

if TYPE_CHECKING:
    from lottoc.backends.onnx.representation import MaskedWeight
    from lottoc.frontends.onnx_file import Node
    from lottoc.frontends.onnx_tensor import Tensor

NAMES: dict[int, str] = {int(kind): name for kind, name in schema.FLOATING.items()}
NAMES[DataType.INT8] = "int8"
"""The types that a weight's numbers may be stored in, by what a recipe calls them."""

SCALE = ".scale"
LARGEST = 127
BLOCK = 1 << 20
"""Weights that are worked on in double precision at a time."""

_MIN_OPSET = {DataType.BFLOAT16: 13}
"""Cast and Gather take bfloat16 from opset 13 on."""


@dataclass(frozen=True)
class Narrow:
    """A weight [out, …] in fewer bytes: its numbers, and the scale of each output if it has one."""

    numbers: NDArray[Any]
    scales: NDArray[Any] | None = None


def scale_type(own: int) -> DataType:
    """The element type of the scales of a weight."""
    return DataType.DOUBLE if own == DataType.DOUBLE else DataType.FLOAT


def narrow(weight: NDArray[Any], own: int, value_type: int) -> Narrow:
    """A masked weight [out, …] of element type `own` in another; what overflows is infinite.

    NaN and infinities have no place in int8: they become arbitrary numbers.
    """
    if value_type != DataType.INT8:
        with np.errstate(over="ignore"):
            return Narrow(weight.astype(schema.numpy_type(value_type)))
    flat = weight.reshape(len(weight), -1)
    scales = np.empty(len(flat), schema.numpy_type(scale_type(own)))
    numbers = np.empty(flat.shape, np.int8)
    for rows in _blocks(flat):
        wide = flat[rows].astype(scales.dtype)
        largest = np.abs(wide).max(axis=1, initial=0)
        scale = largest / scales.dtype.type(LARGEST)
        scales[rows] = np.where(scale > 0, scale, 1)
        with np.errstate(invalid="ignore"):
            quotient = np.rint(wide.astype(np.float64) / scales[rows, None].astype(np.float64))
            numbers[rows] = np.clip(quotient, -LARGEST, LARGEST).astype(np.int8)
    return Narrow(numbers.reshape(weight.shape), scales)


def widen(numbers: NDArray[Any], scales: NDArray[Any] | None, own: int) -> NDArray[Any]:
    """What the decoder makes of them; `scales` are broadcast. Every step rounds as it does."""
    with np.errstate(over="ignore", invalid="ignore"):
        if scales is not None:
            numbers = numbers.astype(scales.dtype) * scales
        return numbers.astype(schema.numpy_type(own))


def rounded(weight: NDArray[Any], own: int, value_type: int) -> NDArray[Any]:
    """A masked weight [out, …] as it comes back from being stored so."""
    if value_type == own:
        return weight.astype(schema.numpy_type(own), copy=False)
    stored = narrow(weight, own, value_type)
    scales = stored.scales
    if scales is not None:
        scales = scales.reshape(-1, *(1,) * (weight.ndim - 1))
    return widen(stored.numbers, scales, own)


def relative_error(weight: NDArray[Any], stored: NDArray[Any]) -> float:
    """|stored - weight| / |weight| in the Euclidean norm, 0 of a weight of zeros."""
    wanted, given = (array.reshape(len(array), -1) for array in (weight, stored))
    error = size = 0.0
    for rows in _blocks(wanted):
        exact = wanted[rows].astype(np.float64)
        error += float(np.square(given[rows].astype(np.float64) - exact).sum())
        size += float(np.square(exact).sum())
    return float(np.sqrt(error / size)) if size else 0.0


def _blocks(flat: NDArray[Any]) -> Iterator[slice]:
    step = max(1, BLOCK // max(1, flat.shape[1]))
    return (slice(start, start + step) for start in range(0, len(flat), step))


def too_old(value_type: int, opset: int) -> str:
    """Why values of a type cannot be decoded in a model's opset; empty if they can."""
    needed = _MIN_OPSET.get(DataType(value_type), 0)
    if opset >= needed:
        return ""
    return f"{NAMES[value_type]} values need opset {needed}, the model has {opset}"


def decoder(weight: MaskedWeight, stored: str) -> tuple[tuple[NewTensor, ...], list[NewNode]]:
    """Tensors and nodes that turn the value `stored`, of the weight's dims, into the weight."""
    name, own = weight.stored.name, weight.stored.data_type
    if weight.value_type != DataType.INT8:
        return (), [NewNode("Cast", (stored,), name, (("to", own),))]
    kind = scale_type(own)
    if weight.small:
        scale = NewTensor(name + SCALE, kind, (weight.stored.dims[weight.out_axis],), weight.scales)
        axis = (("axis", weight.out_axis),)
        return (scale,), [NewNode("DequantizeLinear", (stored, scale.name), name, axis)]
    scaled = name if kind == own else f"{name}.scaled"
    nodes = [
        NewNode("Cast", (stored,), f"{name}.wide", (("to", kind),)),
        NewNode("Mul", (f"{name}.wide", name + SCALE), scaled),
    ]
    if kind != own:
        nodes.append(NewNode("Cast", (scaled,), name, (("to", own),)))
    return (NewTensor(name + SCALE, kind, weight.scale_dims, weight.scales),), nodes


def decoded_type(node: Node, values: Tensor, scale: Tensor | None) -> int:
    """The element type of a weight from the last node of its decoder."""
    if node.op == "Cast":
        return node.integer("to", 0)
    return values.data_type if scale is None else scale.data_type
