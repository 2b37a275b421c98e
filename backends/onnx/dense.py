"""The `dense` representation: the zeros are written out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lottoc.backends.onnx.parts import NewTensor
from lottoc.backends.onnx.representation import Flat, Found, MaskedWeight, Parts, Unsuitable
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_file import OnnxFile
from lottoc.frontends.onnx_layers import Stored
from lottoc.frontends.onnx_tensor import Tensor


def encode(weight: MaskedWeight) -> Parts:
    """One initializer with every weight in it."""
    if weight.value_type != weight.stored.data_type:
        raise Unsuitable("dense weights keep their own type")

    def produce() -> Flat:
        values = weight.values()
        return np.where(weight.mask(), values, np.zeros((), values.dtype))

    stored = weight.stored
    return Parts((NewTensor(stored.name, stored.data_type, stored.dims, produce),))


def find(file: OnnxFile) -> Iterator[Found]:
    """Initializers and constants of the main graph."""
    constants = (file.constant(node) for node in file.nodes)
    for tensor in (*file.initializers.values(), *(c for c in constants if c is not None)):
        if tensor.data_type in tuple(schema.FLOATING):
            yield _found(tensor)


def _found(tensor: Tensor) -> Found:
    itemsize = schema.numpy_type(tensor.data_type).itemsize
    stored = Stored(tensor.name, tensor.data_type, tensor.dims)
    return Found(stored, "dense", tensor.data_type, tensor.size * itemsize, tensor.read)
