"""The numbers of an ONNX tensor, one tensor at a time: mapped from the file, or decoded."""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray

from lottoc.diagnostics import input_error
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_tensor import Extent, Tensor
from lottoc.frontends.protobuf import BYTES, FIXED32, FIXED64, Damaged


def payload(tensor: Tensor) -> NDArray[np.generic]:
    """All numbers that a tensor's payload holds, in one dimension.

    Raises `InputError` (`onnx-invalid`, `onnx-external-data`) for a payload cut within a number.
    """
    dtype = schema.numpy_type(tensor.data_type)
    if tensor.extent is None:
        return _typed_payload(tensor, dtype)
    return _map(tensor.extent, dtype, tensor)


def _map(extent: Extent, dtype: np.dtype[np.generic], tensor: Tensor) -> NDArray[np.generic]:
    if extent.length % dtype.itemsize:
        raise tensor.wrong_length(extent.length)
    count = extent.length // dtype.itemsize
    if not count:
        return np.empty(0, dtype)
    try:
        if extent.offset % dtype.itemsize:
            return np.fromfile(extent.path, dtype, count, offset=extent.offset)
        page = extent.offset - extent.offset % mmap.ALLOCATIONGRANULARITY
        with open(extent.path, "rb") as file:
            lead = extent.offset - page
            view = mmap.mmap(
                file.fileno(), extent.length + lead, access=mmap.ACCESS_READ, offset=page
            )
        return np.frombuffer(view, dtype, count, lead)
    except (OSError, ValueError) as error:
        raise input_error(
            "onnx-invalid", f"cannot read the model's weights: {error}", file=str(extent.path)
        ) from error


def _typed_payload(tensor: Tensor, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Payloads that are not one run of bytes: split chunks, and half floats stored as varints."""
    message = tensor.message
    parts: list[bytes] = []
    if tensor.data_type not in tuple(schema.FLOATING):
        raise Damaged(f'tensor "{tensor.name}" is not stored as raw bytes')
    if dtype.itemsize == 2:
        for field in message.each(schema.Tensor.INT32_DATA, BYTES):
            parts.append(_varints16(bytes(message.buffer[field.start : field.end])).tobytes())
    else:
        number = schema.Tensor.FLOAT_DATA if dtype.itemsize == 4 else schema.Tensor.DOUBLE_DATA
        for field in message.fields:
            if field.number == number and field.wire in (BYTES, FIXED32, FIXED64):
                parts.append(bytes(message.buffer[field.start : field.end]))
    data = b"".join(parts)
    if len(data) % dtype.itemsize:
        raise tensor.wrong_length(len(data))
    return np.frombuffer(data, dtype).copy()


def _varints16(data: bytes) -> NDArray[np.uint16]:
    """Packed varints below 2**16 (three bytes at most), decoded all at once."""
    raw = np.frombuffer(data, np.uint8)
    if raw.size and raw[-1] >= 0x80:
        raise Damaged("packed numbers are cut off")
    ends = np.flatnonzero(raw < 0x80)
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)[: ends.size]
    lengths = ends - starts + 1
    if lengths.size and int(lengths.max()) > 3:
        raise Damaged("a 16-bit number is longer than three bytes")
    values = np.zeros(ends.size, np.uint32)
    for place in range(3):
        present = lengths > place
        digits = raw[starts[present] + place].astype(np.uint32) & 0x7F
        values[present] |= digits << np.uint32(7 * place)
    return values.astype("<u2")
