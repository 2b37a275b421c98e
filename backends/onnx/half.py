"""The `half` representation: every number written out in a narrower type, cast back at load.

    value in float16 --Cast--> weight

onnxruntime folds the cast away while loading.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lottoc.backends.onnx.parts import NewNode, NewTensor
from lottoc.backends.onnx.representation import Flat, Found, MaskedWeight, Parts, Unsuitable
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_file import OnnxFile
from lottoc.frontends.onnx_layers import Stored
from lottoc.frontends.onnx_tensor import Tensor

VALUES = ".half"


def encode(weight: MaskedWeight) -> Parts:
    """One initializer of the narrower type and a cast."""
    stored = weight.stored
    if weight.value_type == stored.data_type:
        raise Unsuitable("its values are stored in their own type")

    def produce() -> Flat:
        values = weight.values().astype(schema.numpy_type(weight.value_type))
        return np.where(weight.mask(), values, np.zeros((), values.dtype))

    narrow = stored.name + VALUES
    cast = NewNode("Cast", (narrow,), stored.name, (("to", stored.data_type),))
    return Parts((NewTensor(narrow, weight.value_type, stored.dims, produce),), nodes=(cast,))


def find(file: OnnxFile) -> Iterator[Found]:
    """Weights that come from such a cast."""
    for node in file.nodes:
        name = node.outputs[0] if node.outputs else ""
        values = file.initializers.get(name + VALUES)
        if node.name == f"Cast:{name}" and values and node.inputs == [values.name]:
            yield _found(name, node.integer("to", 0), values)


def _found(name: str, data_type: int, values: Tensor) -> Found:
    def decode() -> Flat:
        wide: Flat = values.read().astype(schema.numpy_type(data_type))
        return wide

    nbytes = values.size * schema.numpy_type(values.data_type).itemsize
    return Found(Stored(name, data_type, values.dims), "half", values.data_type, nbytes, decode)
