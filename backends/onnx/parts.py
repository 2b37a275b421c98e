"""New parts of an ONNX graph: tensors whose numbers are computed late, nodes, sparse tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx.pieces import Lazy, Piece, entry, message, number, text
from lottoc.frontends import onnx_schema as schema

INT, INTS, SPARSE_TENSOR = 2, 7, 11


SPARSE_VALUE = "sparse_value"
"""The attribute of a Constant that is a SparseTensorProto, from opset 11 on."""


@dataclass(frozen=True)
class NewTensor:
    """An initializer to be written; `produce` gives its numbers, of any shape, in storage order."""

    name: str
    data_type: int
    dims: tuple[int, ...]
    produce: Callable[[], NDArray[np.generic]]

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers alone."""
        count = int(np.prod(self.dims, dtype=np.int64))
        return count * schema.numpy_type(self.data_type).itemsize

    def payload(self) -> Lazy:
        """The numbers, to be computed when written."""
        return Lazy(self.nbytes, self._little_endian)

    def _little_endian(self) -> NDArray[np.generic]:
        return np.asarray(self.produce()).astype(schema.numpy_type(self.data_type), copy=False)


@dataclass(frozen=True)
class NewExternal:
    """An initializer whose numbers lie in another file, which is written by whoever names it."""

    name: str
    data_type: int
    dims: tuple[int, ...]
    location: str
    offset: int
    length: int

    def encode(self) -> list[Piece]:
        """The TensorProto field."""
        header = tensor_header(self.name, self.data_type, self.dims)
        outside = external_data(self.location, self.offset, self.length)
        return message(schema.Graph.INITIALIZER, [header, outside])


def tensor_of(name: str, data_type: int, values: NDArray[np.generic]) -> NewTensor:
    """A small tensor whose numbers are known now."""
    return NewTensor(name, data_type, values.shape, lambda: values)


@dataclass(frozen=True)
class NewSparse:
    """A SparseTensorProto to be written: `values` carries the name, `indices` are linear int64."""

    values: NewTensor
    indices: NewTensor
    dims: tuple[int, ...]


def tensor_header(name: str, data_type: int, dims: Sequence[int]) -> bytes:
    """The fields of a TensorProto before its payload."""
    packed = b"".join(number(schema.Tensor.DIMS, dim) for dim in dims)
    return packed + number(schema.Tensor.DATA_TYPE, data_type) + text(schema.Tensor.NAME, name)


def external_data(location: str, offset: int, length: int) -> bytes:
    """The fields of a TensorProto that say where its payload lies."""
    entries = (("location", location), ("offset", str(offset)), ("length", str(length)))
    encoded = b"".join(entry(schema.Tensor.EXTERNAL, key, value) for key, value in entries)
    return encoded + number(schema.Tensor.LOCATION, 1)


def inline_tensor(field: int, tensor: NewTensor) -> list[Piece]:
    """A TensorProto field with the numbers inside it."""
    header = tensor_header(tensor.name, tensor.data_type, tensor.dims)
    return message(field, [header, *message(schema.Tensor.RAW_DATA, [tensor.payload()])])


def sparse_constant(sparse: NewSparse) -> list[Piece]:
    """A NodeProto field: a Constant whose value is a SparseTensorProto."""
    body = inline_tensor(schema.Sparse.VALUES, sparse.values)
    body += inline_tensor(schema.Sparse.INDICES, sparse.indices)
    body += [number(schema.Sparse.DIMS, dim) for dim in sparse.dims]
    attribute: list[Piece] = [text(schema.Attribute.NAME, SPARSE_VALUE)]
    attribute.append(number(schema.Attribute.TYPE, SPARSE_TENSOR))
    attribute += message(schema.Attribute.SPARSE_TENSOR, body)
    node: list[Piece] = [text(schema.Node.OUTPUT, sparse.values.name)]
    node.append(text(schema.Node.NAME, f"Constant:{sparse.values.name}"))
    node.append(text(schema.Node.OP_TYPE, "Constant"))
    node += message(schema.Node.ATTRIBUTE, attribute)
    return message(schema.Graph.NODE, node)


@dataclass(frozen=True)
class NewNode:
    """A node to be written; attributes are integers or lists of them: decoders need no more."""

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: tuple[tuple[str, int | tuple[int, ...]], ...] = ()

    def encode(self) -> bytes:
        """The NodeProto field."""
        body = b"".join(text(schema.Node.INPUT, name) for name in self.inputs)
        body += text(schema.Node.OUTPUT, self.output)
        body += text(schema.Node.NAME, f"{self.op}:{self.output}")
        body += text(schema.Node.OP_TYPE, self.op)
        for name, value in self.attributes:
            attribute = text(schema.Attribute.NAME, name)
            if isinstance(value, int):
                attribute += number(schema.Attribute.I, value)
                attribute += number(schema.Attribute.TYPE, INT)
            else:
                attribute += b"".join(number(schema.Attribute.INTS, each) for each in value)
                attribute += number(schema.Attribute.TYPE, INTS)
            body += text(schema.Node.ATTRIBUTE, attribute)
        return text(schema.Graph.NODE, body)
