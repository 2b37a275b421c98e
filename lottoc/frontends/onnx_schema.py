"""The numbers of the ONNX format that lottoc reads or writes (onnx/onnx.proto), named."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class Model(IntEnum):
    """Fields of ModelProto."""

    IR_VERSION = 1
    GRAPH = 7
    OPSET_IMPORT = 8
    METADATA = 14
    TRAINING = 20
    FUNCTIONS = 25


class Graph(IntEnum):
    """Fields of GraphProto."""

    NODE = 1
    INITIALIZER = 5
    INPUT = 11
    OUTPUT = 12
    SPARSE_INITIALIZER = 15
    METADATA = 16


class Node(IntEnum):
    """Fields of NodeProto."""

    INPUT = 1
    OUTPUT = 2
    NAME = 3
    OP_TYPE = 4
    ATTRIBUTE = 5
    DOC = 6
    DOMAIN = 7
    METADATA = 9


class Attribute(IntEnum):
    """Fields of AttributeProto."""

    NAME = 1
    F = 2
    I = 3  # noqa: E741 - the name it has in onnx.proto
    S = 4
    T = 5
    G = 6
    INTS = 8
    TENSORS = 10
    GRAPHS = 11
    TYPE = 20
    SPARSE_TENSOR = 22


class Tensor(IntEnum):
    """Fields of TensorProto."""

    DIMS = 1
    DATA_TYPE = 2
    FLOAT_DATA = 4
    INT32_DATA = 5
    INT64_DATA = 7
    NAME = 8
    RAW_DATA = 9
    DOUBLE_DATA = 10
    UINT64_DATA = 11
    DOC = 12
    EXTERNAL = 13
    LOCATION = 14


class Sparse(IntEnum):
    """Fields of SparseTensorProto."""

    VALUES = 1
    INDICES = 2
    DIMS = 3


class Function(IntEnum):
    """Fields of FunctionProto."""

    NODE = 7


class Training(IntEnum):
    """Fields of TrainingInfoProto."""

    INITIALIZATION = 1
    ALGORITHM = 2


class Entry(IntEnum):
    """Fields of StringStringEntryProto."""

    KEY = 1
    VALUE = 2


class DataType(IntEnum):
    """Element types of TensorProto, as far as weights and decoders use them."""

    FLOAT = 1
    UINT8 = 2
    INT8 = 3
    UINT16 = 4
    INT16 = 5
    INT32 = 6
    INT64 = 7
    STRING = 8
    BOOL = 9
    FLOAT16 = 10
    DOUBLE = 11
    UINT32 = 12
    UINT64 = 13
    BFLOAT16 = 16


FLOATING = {
    DataType.FLOAT: "float32",
    DataType.FLOAT16: "float16",
    DataType.DOUBLE: "float64",
    DataType.BFLOAT16: "bfloat16",
}
"""The element types a prunable weight may have, by the name a signature gives them."""


_ITEM_BYTES = {
    **dict.fromkeys((DataType.UINT8, DataType.INT8, DataType.BOOL), 1),
    **dict.fromkeys((DataType.UINT16, DataType.INT16, DataType.FLOAT16, DataType.BFLOAT16), 2),
    **dict.fromkeys((DataType.FLOAT, DataType.INT32, DataType.UINT32), 4),
    **dict.fromkeys((DataType.DOUBLE, DataType.INT64, DataType.UINT64), 8),
}


def item_bytes(data_type: int) -> int:
    """The bytes of one element, as `numpy_type` has them, without loading numpy."""
    return _ITEM_BYTES[DataType(data_type)]


def numpy_type(data_type: int) -> np.dtype[np.generic]:
    """The little-endian numpy type of an element type; bfloat16 comes from `ml_dtypes`."""
    import numpy as np

    if data_type == DataType.BFLOAT16:
        import ml_dtypes

        half: np.dtype[np.generic] = np.dtype(ml_dtypes.bfloat16)
        return half
    name = FLOATING.get(DataType(data_type)) or DataType(data_type).name.lower()
    native: np.dtype[np.generic] = np.dtype(name)
    return native.newbyteorder("<")
