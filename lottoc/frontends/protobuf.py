"""Reads protocol-buffer messages in place, so that a model's weights stay on disk until asked for.

Only the wire format is known here (https://protobuf.dev/programming-guides/encoding); what the
field numbers mean is up to the caller. Every offset and length is checked against the message
that holds it, so a damaged file raises `Damaged` and never reads outside its bounds.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

Buffer = mmap.mmap | bytes


class Damaged(ValueError):
    """The bytes are not a well-formed message."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field as it stands in the file.

    `begin` is where its tag starts; `start` and `end` bound what follows the tag, and for a
    length-delimited field the payload alone. `value` is the number of a varint field, else 0.
    """

    number: int
    wire: int
    begin: int
    start: int
    end: int
    value: int


def read_varint(buffer: Buffer, position: int, end: int) -> tuple[int, int]:
    """The unsigned number at `position` and the offset behind it."""
    result = shift = 0
    while position < end and shift < 70:
        byte = buffer[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
    raise Damaged(f"a number at byte {position} does not end")


def read_fields(buffer: Buffer, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in `buffer[start:end]`, in file order."""
    position = start
    while position < end:
        begin = position
        tag, position = read_varint(buffer, position, end)
        number, wire, value = tag >> 3, tag & 7, 0
        first = position
        if wire == VARINT:
            value, position = read_varint(buffer, position, end)
        elif wire == BYTES:
            length, first = read_varint(buffer, position, end)
            position = first + length
        elif wire in (FIXED32, FIXED64):
            position += 4 if wire == FIXED32 else 8
        else:
            raise Damaged(f"byte {begin} holds no field (wire type {wire})")
        if number == 0:
            raise Damaged(f"byte {begin} holds field number 0")
        if position > end:
            raise Damaged(f"a field at byte {begin} ends {position - end} bytes behind its message")
        yield Field(number, wire, begin, first, position, value)


def signed(value: int) -> int:
    """A 64-bit varint read as a signed number."""
    return value - (1 << 64) if value >= 1 << 63 else value


class Message:
    """A message inside a buffer; its fields are found once, its sub-messages when asked for."""

    __slots__ = ("buffer", "end", "fields", "start")

    def __init__(self, buffer: Buffer, start: int, end: int) -> None:
        self.buffer, self.start, self.end = buffer, start, end
        self.fields = list(read_fields(buffer, start, end))

    def each(self, number: int, wire: int) -> list[Field]:
        """The occurrences of a field, which must all have the wire type its schema asks for."""
        found = [field for field in self.fields if field.number == number]
        for field in found:
            if field.wire != wire:
                raise Damaged(f"field {number} at byte {field.begin} has wire type {field.wire}")
        return found

    def messages(self, number: int) -> list[Message]:
        """Sub-messages of a repeated field."""
        return [Message(self.buffer, f.start, f.end) for f in self.each(number, BYTES)]

    def message(self, number: int) -> Message | None:
        """A sub-message that occurs at most once."""
        found = self.messages(number)
        if len(found) > 1:
            raise Damaged(f"field {number} occurs {len(found)} times")
        return found[0] if found else None

    def texts(self, number: int) -> list[str]:
        """Strings of a repeated field."""
        try:
            return [bytes(self.buffer[f.start : f.end]).decode() for f in self.each(number, BYTES)]
        except UnicodeDecodeError as error:
            raise Damaged(f"field {number} holds no UTF-8 text") from error

    def text(self, number: int) -> str:
        """A string field, empty if absent."""
        return (self.texts(number) or [""])[-1]

    def integer(self, number: int, default: int = 0) -> int:
        """A signed integer field."""
        found = self.each(number, VARINT)
        return signed(found[-1].value) if found else default

    def integers(self, number: int) -> list[int]:
        """A repeated integer field, packed or not."""
        numbers: list[int] = []
        for field in self.fields:
            if field.number != number:
                continue
            if field.wire == VARINT:
                numbers.append(signed(field.value))
            elif field.wire == BYTES:
                position = field.start
                while position < field.end:
                    value, position = read_varint(self.buffer, position, field.end)
                    numbers.append(signed(value))
            else:
                raise Damaged(f"field {number} at byte {field.begin} holds no integers")
        return numbers

    def float32(self, number: int, default: float = 0.0) -> float:
        """A single-precision field."""
        found = self.each(number, FIXED32)
        if not found:
            return default
        (value,) = struct.unpack("<f", self.buffer[found[-1].start : found[-1].end])
        return float(value)
