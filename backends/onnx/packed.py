"""The `packed` representation: one bit a weight plus the kept values, decoded at load.

    bits [n/8] --Cast--> --Gather(table [256, 8])--> --Reshape--> m [n]    0 or 1
    CumSum(m) * m = i                       the rank of a kept weight, 0 for a pruned one
    Gather([0, values...], i) --Reshape--> weight, or what the decoder of `values` widens

Where exactly two of every four are kept, twelve weights are one byte (`two_of_four`):

    codes [n/12] --Cast--> --Gather(table [216, 12])--> --Reshape--> m [n]

with a transpose where groups of four do not lie in a row.

All inputs are constants, so onnxruntime folds the decoder away while loading: the model runs as
if it were dense. The operators are standard from opset 11 on.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx import two_of_four
from lottoc.backends.onnx import values as value_types
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

BITS, CODES, VALUES, SHAPE, GRID = ".bits", ".codes", ".values", ".shape", ".grid"
CODE_TABLE = "lottoc.twofour"
TABLE, FLAT, AXIS, START = "lottoc.table", "lottoc.flat", "lottoc.along", "lottoc.start"
"""Shared by all layers; `structure` makes constants of other names."""


def encode(weight: MaskedWeight) -> Parts:
    """Bits, values and the nodes that rebuild the weight under its own name."""
    stored = weight.stored
    if weight.opset < MIN_OPSET:
        raise Unsuitable(f"its decoder needs opset {MIN_OPSET}, the model has {weight.opset}")
    if reason := value_types.too_old(weight.value_type, weight.opset):
        raise Unsuitable(reason)
    itemsize = max(4, schema.numpy_type(stored.data_type).itemsize)
    if weight.size * itemsize > MAX_FOLDED:
        raise Unsuitable(f"onnxruntime decodes at most {MAX_FOLDED >> 30} GiB a weight at load")

    def values() -> Flat:
        kept = weight.values()[weight.mask()]
        return np.concatenate([np.zeros(1, kept.dtype), kept])

    name = stored.name
    grid = two_of_four.grid_of(weight.mask(), stored.dims)
    per_byte = 8 if grid is None else 4 * two_of_four.GROUPS
    length = -(-weight.size // per_byte)
    tensors = [
        _codes(weight, grid, length) if grid is not None else _bits(weight, length),
        NewTensor(name + VALUES, weight.value_type, (weight.kept + 1,), values),
        tensor_of(name + SHAPE, DataType.INT64, np.array(stored.dims, np.int64)),
    ]
    if grid is not None and grid[1] > 1:
        tensors.append(tensor_of(name + GRID, DataType.INT64, np.array([*grid, 4], np.int64)))
    uneven = weight.size % per_byte != 0
    if uneven:
        end = np.array([weight.size], np.int64)
        tensors.append(tensor_of(f"{name}.end", DataType.INT64, end))
    scale, nodes = _decoder(weight)
    nodes = [*_mask_decoder(name, grid, uneven), *nodes]
    return Parts((*tensors, *scale), nodes=tuple(nodes), shared=_shared(grid is not None, uneven))


def _bits(weight: MaskedWeight, length: int) -> NewTensor:
    def bits() -> NDArray[np.uint8]:
        return np.packbits(weight.mask(), bitorder="little")

    return NewTensor(weight.stored.name + BITS, DataType.UINT8, (length,), bits)


def _codes(weight: MaskedWeight, grid: tuple[int, int], length: int) -> NewTensor:
    def codes() -> NDArray[np.uint8]:
        return two_of_four.encode(weight.mask(), grid)

    return NewTensor(weight.stored.name + CODES, DataType.UINT8, (length,), codes)


def _shared(coded: bool, uneven: bool) -> tuple[NewTensor, ...]:
    octets = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    name, table = (CODE_TABLE, two_of_four.table()) if coded else (TABLE, octets)
    start = tensor_of(START, DataType.INT64, np.array([0], np.int64))
    return (
        tensor_of(name, DataType.INT32, table.astype(np.int32)),
        tensor_of(FLAT, DataType.INT64, np.array([-1], np.int64)),
        tensor_of(AXIS, DataType.INT64, np.array(0, np.int64)),
        *([start] if uneven else []),
    )


def _mask_decoder(name: str, grid: tuple[int, int] | None, uneven: bool) -> Iterator[NewNode]:
    """From bits or codes to the flat mask, 0 or 1."""
    stored, table = (name + BITS, TABLE) if grid is None else (name + CODES, CODE_TABLE)
    turned = grid is not None and grid[1] > 1
    mask, padded, ordered = f"{name}.mask", f"{name}.padded", f"{name}.ordered"
    whole = ordered if turned else mask
    yield NewNode("Cast", (stored,), f"{name}.bytes", (("to", DataType.INT32),))
    yield NewNode("Gather", (table, f"{name}.bytes"), f"{name}.octets")
    yield NewNode("Reshape", (f"{name}.octets", FLAT), padded if uneven else whole)
    if uneven:
        yield NewNode("Slice", (padded, START, f"{name}.end"), whole)
    if turned:
        yield NewNode("Reshape", (ordered, name + GRID), f"{name}.fours")
        yield NewNode("Transpose", (f"{name}.fours",), f"{name}.turned", (("perm", (0, 2, 1)),))
        yield NewNode("Reshape", (f"{name}.turned", FLAT), mask)


def _decoder(weight: MaskedWeight) -> tuple[tuple[NewTensor, ...], list[NewNode]]:
    """From the flat mask to the weight; the scales that takes."""
    stored, name = weight.stored, weight.stored.name
    mask = f"{name}.mask"
    narrow = weight.value_type != stored.data_type
    nodes = [
        NewNode("CumSum", (mask, AXIS), f"{name}.count"),
        NewNode("Mul", (f"{name}.count", mask), f"{name}.rank"),
        NewNode("Gather", (name + VALUES, f"{name}.rank"), f"{name}.flat"),
        NewNode("Reshape", (f"{name}.flat", name + SHAPE), f"{name}.narrow" if narrow else name),
    ]
    if not narrow:
        return (), nodes
    scale, widening = value_types.decoder(weight, f"{name}.narrow")
    return scale, nodes + widening


def find(file: OnnxFile) -> Iterator[Found]:
    """Weights that end in this module's decoder."""
    tensors = file.initializers
    for node in file.nodes:
        name = node.outputs[0] if node.outputs else ""
        stored = tensors.get(name + BITS) or tensors.get(name + CODES)
        values, shape = tensors.get(name + VALUES), tensors.get(name + SHAPE)
        if node.name not in (f"Reshape:{name}", f"Cast:{name}", f"Mul:{name}"):
            continue
        if stored is None or values is None or shape is None:
            continue
        scale = tensors.get(name + value_types.SCALE)
        kind = value_types.decoded_type(node, values, scale)
        yield _found(name, kind, stored, values, scale, shape, tensors.get(name + GRID))


def _found(
    name: str,
    data_type: int,
    bits: Tensor,
    values: Tensor,
    scale: Tensor | None,
    shape: Tensor,
    grid: Tensor | None,
) -> Found:
    dims = tuple(int(dim) for dim in shape.read())

    def decode() -> Flat:
        size = int(np.prod(dims))
        mask = (
            _read_codes(bits, size, grid) if bits.name.endswith(CODES) else _read_bits(bits, size)
        )
        table = values.read()
        ranks = np.cumsum(mask, dtype=np.int32) * mask
        if int(ranks.max(initial=0)) != table.size - 1:
            raise Damaged(
                f'"{bits.name}" keeps {ranks.max(initial=0)} weights, '
                f'"{values.name}" has {table.size - 1}'
            )
        numbers = table[ranks].reshape(dims)
        return value_types.widen(numbers, scale.read() if scale else None, data_type)

    tensors = [bits, values, scale] if scale else [bits, values]
    nbytes = sum(t.size * schema.item_bytes(t.data_type) for t in tensors)
    stored = Stored(name, data_type, dims)
    return Found(stored, "packed", values.data_type, nbytes, decode, max(0, values.size - 1))


def _read_bits(bits: Tensor, size: int) -> NDArray[np.uint8]:
    if size > 8 * bits.size:
        raise Damaged(f'"{bits.name}" has {bits.size} bytes for {size} weights')
    return np.unpackbits(bits.read().astype(np.uint8), count=size, bitorder="little")


def _read_codes(codes: Tensor, size: int, grid: Tensor | None) -> NDArray[np.bool_]:
    pre, post = (size // 4, 1) if grid is None else (int(n) for n in grid.read()[:2])
    try:
        if 4 * pre * post != size:
            raise ValueError(f"{4 * pre * post} places for {size} weights")
        return two_of_four.decode(codes.read().astype(np.uint8).reshape(-1), (pre, post))
    except ValueError as error:
        raise Damaged(f'"{codes.name}" is no mask: {error}') from error
