"""The `packed` representation: one bit a weight plus the kept values, decoded at load.

    bits [n/8] --Cast--> --Gather(table [256, 8])--> --Reshape--> m [n]    0 or 1
    CumSum(m) * m = i                       the rank of a kept weight, 0 for a pruned one
    Gather([0, values...], i) --Reshape--> weight

All inputs are constants, so onnxruntime folds the decoder away while loading: the model runs as
if it were dense. The operators are standard from opset 11 on.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lottoc.backends.onnx.parts import NewNode, NewTensor, tensor_of
from lottoc.backends.onnx.representation import Flat, Found, MaskedWeight, Parts, Unsuitable
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_file import OnnxFile
from lottoc.frontends.onnx_layers import Stored
from lottoc.frontends.onnx_schema import DataType
from lottoc.frontends.onnx_tensor import Tensor
from lottoc.frontends.protobuf import Damaged

MIN_OPSET = 11
"""CumSum came with opset 11."""

MAX_FOLDED = 1 << 30
"""Bytes: onnxruntime folds no node whose output is larger, and would decode at every run."""

BITS, VALUES, SHAPE = ".bits", ".values", ".shape"
TABLE, FLAT, AXIS, START = "lottoc.table", "lottoc.flat", "lottoc.axis", "lottoc.start"


def encode(weight: MaskedWeight) -> Parts:
    """Bits, values and the nodes that rebuild the weight under its own name."""
    stored = weight.stored
    if weight.opset < MIN_OPSET:
        raise Unsuitable(f"its decoder needs opset {MIN_OPSET}, the model has {weight.opset}")
    itemsize = max(4, schema.numpy_type(stored.data_type).itemsize)
    if weight.size * itemsize > MAX_FOLDED:
        raise Unsuitable(f"onnxruntime decodes at most {MAX_FOLDED >> 30} GiB a weight at load")

    def values() -> Flat:
        kept = weight.values()[weight.mask()].astype(schema.numpy_type(weight.value_type))
        return np.concatenate([np.zeros(1, kept.dtype), kept])

    name = stored.name
    tensors = [
        NewTensor(
            name + BITS,
            DataType.UINT8,
            (-(-weight.size // 8),),
            lambda: np.packbits(weight.mask(), bitorder="little"),
        ),
        NewTensor(name + VALUES, weight.value_type, (weight.kept + 1,), values),
        tensor_of(name + SHAPE, DataType.INT64, np.array(stored.dims, np.int64)),
    ]
    nodes = _decoder(weight)
    if weight.size % 8:
        end = np.array([weight.size], np.int64)
        tensors.append(tensor_of(f"{name}.end", DataType.INT64, end))
    return Parts(tuple(tensors), nodes=tuple(nodes), shared=_shared(weight.size % 8 != 0))


def _shared(uneven: bool) -> tuple[NewTensor, ...]:
    table = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    start = tensor_of(START, DataType.INT64, np.array([0], np.int64))
    return (
        tensor_of(TABLE, DataType.INT32, table.astype(np.int32)),
        tensor_of(FLAT, DataType.INT64, np.array([-1], np.int64)),
        tensor_of(AXIS, DataType.INT64, np.array(0, np.int64)),
        *([start] if uneven else []),
    )


def _decoder(weight: MaskedWeight) -> Iterator[NewNode]:
    stored, name = weight.stored, weight.stored.name
    mask, padded = f"{name}.mask", f"{name}.padded"
    uneven = weight.size % 8 != 0
    yield NewNode("Cast", (name + BITS,), f"{name}.bytes", (("to", DataType.INT32),))
    yield NewNode("Gather", (TABLE, f"{name}.bytes"), f"{name}.octets")
    yield NewNode("Reshape", (f"{name}.octets", FLAT), padded if uneven else mask)
    if uneven:
        yield NewNode("Slice", (padded, START, f"{name}.end"), mask)
    yield NewNode("CumSum", (mask, AXIS), f"{name}.count")
    yield NewNode("Mul", (f"{name}.count", mask), f"{name}.rank")
    narrow = weight.value_type != stored.data_type
    yield NewNode("Gather", (name + VALUES, f"{name}.rank"), f"{name}.flat")
    yield NewNode("Reshape", (f"{name}.flat", name + SHAPE), f"{name}.narrow" if narrow else name)
    if narrow:
        yield NewNode("Cast", (f"{name}.narrow",), name, (("to", stored.data_type),))


def find(file: OnnxFile) -> Iterator[Found]:
    """Weights that end in this module's decoder."""
    tensors = file.initializers
    for node in file.nodes:
        name = node.outputs[0] if node.outputs else ""
        inputs = [tensors.get(name + suffix) for suffix in (BITS, VALUES, SHAPE)]
        if node.name not in (f"Reshape:{name}", f"Cast:{name}") or None in inputs:
            continue
        bits, values, shape = (tensor for tensor in inputs if tensor is not None)
        data_type = node.integer("to", 0) if node.op == "Cast" else values.data_type
        yield _found(name, data_type, bits, values, shape)


def _found(name: str, data_type: int, bits: Tensor, values: Tensor, shape: Tensor) -> Found:
    dims = tuple(int(dim) for dim in shape.read())

    def decode() -> Flat:
        size = int(np.prod(dims))
        if size > 8 * bits.size:
            raise Damaged(f'"{bits.name}" has {bits.size} bytes for {size} weights')
        mask = np.unpackbits(bits.read().astype(np.uint8), count=size, bitorder="little")
        table = values.read()
        ranks = np.cumsum(mask, dtype=np.int32) * mask
        if int(ranks.max(initial=0)) != table.size - 1:
            raise Damaged(
                f'"{bits.name}" keeps {ranks.max(initial=0)} weights, '
                f'"{values.name}" has {table.size - 1}'
            )
        flat: Flat = table[ranks].astype(schema.numpy_type(data_type))
        return flat.reshape(dims)

    itemsize = schema.numpy_type(values.data_type).itemsize
    nbytes = bits.size + values.size * itemsize
    stored = Stored(name, data_type, dims)
    return Found(stored, "packed", values.data_type, nbytes, decode, max(0, values.size - 1))
