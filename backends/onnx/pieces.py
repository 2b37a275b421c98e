"""A file that is not written yet: byte ranges of other files, fresh bytes, and arrays to come.

A protobuf message states its length before its contents, so a writer that never holds a whole
model needs to know every length first. Pieces know theirs without being read or computed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from lottoc.diagnostics import input_error
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_tensor import Extent
from lottoc.frontends.protobuf import BYTES, FIXED32, VARINT

CHUNK = 1 << 20


@dataclass(frozen=True)
class Lazy:
    """Bytes that are computed when they are written; `produce` gives an array of `length` bytes."""

    length: int
    produce: Callable[[], NDArray[np.generic]]


Piece = bytes | Extent | Lazy


def size(pieces: Iterable[Piece]) -> int:
    """Number of bytes the pieces will have."""
    return sum(len(p) if isinstance(p, bytes) else p.length for p in pieces)


def join(pieces: Iterable[Piece]) -> list[Piece]:
    """The same bytes in fewer pieces: neighbours of one kind become one."""
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if isinstance(piece, bytes) and isinstance(last, bytes):
            joined[-1] = last + piece
        elif (
            isinstance(piece, Extent)
            and isinstance(last, Extent)
            and piece.path == last.path
            and piece.offset == last.offset + last.length
        ):
            joined[-1] = Extent(last.path, last.offset, last.length + piece.length)
        elif not isinstance(piece, bytes) or piece:
            joined.append(piece)
    return joined


def varint(value: int) -> bytes:
    """A number in protobuf's variable-length form; negative ones in two's complement."""
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """An integer field."""
    return varint(field << 3 | VARINT) + varint(value)


def float32(field: int, value: float) -> bytes:
    """A single-precision field."""
    return varint(field << 3 | FIXED32) + struct.pack("<f", value)


def text(field: int, value: str | bytes) -> bytes:
    """A string or bytes field."""
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | BYTES) + varint(len(data)) + data


def message(field: int, pieces: Sequence[Piece]) -> list[Piece]:
    """A length-delimited field that holds the pieces."""
    return [varint(field << 3 | BYTES) + varint(size(pieces)), *pieces]


def entry(field: int, key: str, value: str) -> bytes:
    """A StringStringEntryProto field."""
    return text(field, text(schema.Entry.KEY, key) + text(schema.Entry.VALUE, value))


def write(pieces: Iterable[Piece], stream: BinaryIO) -> None:
    """Write the pieces, holding one computed array or `CHUNK` bytes at a time."""
    for piece in pieces:
        if isinstance(piece, bytes):
            stream.write(piece)
        elif isinstance(piece, Extent):
            _copy(piece, stream)
        else:
            array = np.ascontiguousarray(piece.produce())
            if array.nbytes != piece.length:
                raise AssertionError(f"promised {piece.length} bytes, made {array.nbytes}")
            stream.write(array.reshape(-1).view(np.uint8).data)


def _copy(extent: Extent, stream: BinaryIO) -> None:
    left = extent.length
    with open(extent.path, "rb") as source:
        source.seek(extent.offset)
        while left:
            data = source.read(min(left, CHUNK))
            if not data:
                raise input_error(
                    "onnx-invalid",
                    "the file became shorter while it was read",
                    file=str(extent.path),
                )
            stream.write(data)
            left -= len(data)
