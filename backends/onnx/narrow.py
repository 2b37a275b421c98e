"""The `narrow` representation: every number written out in a narrower type, widened at load.

numbers [dims] --> the decoder of `values` --> weight
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lottoc.backends.onnx import values
from lottoc.backends.onnx.parts import NewTensor
from lottoc.backends.onnx.representation import Flat, Found, MaskedWeight, Parts, Unsuitable
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_file import OnnxFile
from lottoc.frontends.onnx_layers import Stored
from lottoc.frontends.onnx_tensor import Tensor

NUMBERS = ".narrow"


def encode(weight: MaskedWeight) -> Parts:
    """One initializer of the narrower type and what widens it."""
    stored = weight.stored
    if weight.value_type == stored.data_type:
        raise Unsuitable("its values are stored in their own type")
    if reason := values.too_old(weight.value_type, weight.opset):
        raise Unsuitable(reason)

    def produce() -> Flat:
        numbers = weight.values()
        return np.where(weight.mask(), numbers, np.zeros((), numbers.dtype))

    name = stored.name + NUMBERS
    tensors, nodes = values.decoder(weight, name)
    numbers = NewTensor(name, weight.value_type, stored.dims, produce)
    return Parts((numbers, *tensors), nodes=tuple(nodes))


def find(file: OnnxFile) -> Iterator[Found]:
    """Weights that come from such numbers."""
    for node in file.nodes:
        name = node.outputs[0] if node.outputs else ""
        numbers = file.initializers.get(name + NUMBERS)
        last = ("Cast", "Mul", "DequantizeLinear")
        if numbers and node.name in [f"{op}:{name}" for op in last]:
            scale = file.initializers.get(name + values.SCALE)
            yield _found(name, values.decoded_type(node, numbers, scale), numbers, scale)


def _found(name: str, data_type: int, numbers: Tensor, scale: Tensor | None) -> Found:
    def decode() -> Flat:
        return values.widen(numbers.read(), _scales(numbers, scale), data_type)

    tensors = [numbers, scale] if scale else [numbers]
    nbytes = sum(t.size * schema.item_bytes(t.data_type) for t in tensors)
    stored = Stored(name, data_type, numbers.dims)
    return Found(stored, "narrow", numbers.data_type, nbytes, decode)


def _scales(numbers: Tensor, scale: Tensor | None) -> Flat | None:
    """To be broadcast: those of a DequantizeLinear lie along one axis, the first."""
    if scale is None or len(scale.dims) == len(numbers.dims):
        return None if scale is None else scale.read()
    return scale.read().reshape(-1, *(1,) * (len(numbers.dims) - 1))
