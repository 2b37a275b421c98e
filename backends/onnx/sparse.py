"""The `sparse` representation: ONNX's own SparseTensorProto, positions and values of what is kept.

It is the standard's way to say "sparse" and every checker knows it, but a position takes eight
bytes: below two thirds of zeros in float32 it is larger than dense. It is written as the value of
a Constant, since not all runtimes that read those read sparse initializers (OpenVINO does not).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lottoc.backends.onnx.parts import NewSparse, NewTensor
from lottoc.backends.onnx.representation import Flat, Found, MaskedWeight, Parts, Unsuitable
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_file import OnnxFile
from lottoc.frontends.onnx_layers import Stored
from lottoc.frontends.onnx_tensor import read_tensor
from lottoc.frontends.protobuf import Damaged, Message

OPSET = 11
"""From which on a Constant may be sparse."""


def encode(weight: MaskedWeight) -> Parts:
    """A sparse constant with ascending linear int64 indices; kept zeros stay explicit."""
    stored, kept = weight.stored, (weight.kept,)
    if weight.opset < OPSET:
        raise Unsuitable(f"sparse constants need opset {OPSET}, the model has {weight.opset}")
    if weight.value_type != stored.data_type:
        raise Unsuitable("sparse weights keep their own type")
    values = NewTensor(stored.name, stored.data_type, kept, lambda: weight.values()[weight.mask()])
    # The checker of onnx wants a name for every tensor, although none refers to the indices.
    indices = NewTensor(
        f"{stored.name}.indices",
        schema.DataType.INT64,
        kept,
        lambda: np.flatnonzero(weight.mask()),
    )
    return Parts(sparse=(NewSparse(values, indices, stored.dims),))


def find(file: OnnxFile) -> Iterator[Found]:
    """Sparse constants and initializers of the main graph."""
    for message in file.graph.messages(schema.Graph.SPARSE_INITIALIZER):
        yield _found(message, file)
    for node in file.graph.messages(schema.Graph.NODE):
        if node.text(schema.Node.OP_TYPE) != "Constant":
            continue
        for attribute in node.messages(schema.Node.ATTRIBUTE):
            value = attribute.message(schema.Attribute.SPARSE_TENSOR)
            if value is not None:
                yield _found(value, file, node.texts(schema.Node.OUTPUT)[0])


def _found(message: Message, file: OnnxFile, name: str | None = None) -> Found:
    inner = [message.message(n) for n in (schema.Sparse.VALUES, schema.Sparse.INDICES)]
    if inner[0] is None or inner[1] is None:
        raise Damaged("a sparse tensor lacks its values or indices")
    values, indices = read_tensor(inner[0], file.path), read_tensor(inner[1], file.path)
    dims = tuple(message.integers(schema.Sparse.DIMS))
    stored = Stored(name or values.name, values.data_type, dims)

    def decode() -> Flat:
        places = indices.read().astype(np.int64)
        if places.ndim == 2:
            places = np.ravel_multi_index(tuple(places.T), dims).astype(np.int64)
        flat = np.zeros(int(np.prod(dims)), schema.numpy_type(values.data_type))
        if places.size and not 0 <= int(places.min()) <= int(places.max()) < flat.size:
            raise Damaged(f'an index of "{values.name}" is out of range')
        flat[places] = values.read()
        return flat.reshape(dims)

    nbytes = 8 * indices.size + values.size * schema.numpy_type(values.data_type).itemsize
    return Found(stored, "sparse", values.data_type, nbytes, decode, values.size)
