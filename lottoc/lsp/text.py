"""Places in a text as editors name them: a line, and a column in code units of an encoding."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Mapping

from lsprotocol.types import (
    Position,
    PositionEncodingKind,
    Range,
    TextDocumentContentChangeEvent,
    TextDocumentContentChangeWholeDocument,
)

_LINE_END = re.compile(r"\r\n|\r|\n")

Width = Callable[[str], int]
"""The length of a text in code units."""

WIDTHS: Mapping[str, Width] = {
    PositionEncodingKind.Utf8.value: lambda text: len(text.encode("utf-8", "surrogatepass")),
    PositionEncodingKind.Utf16.value: lambda text: len(text) + sum(c > "\uffff" for c in text),
    PositionEncodingKind.Utf32.value: len,
}


class Text:
    """A text with its lines, which end as the protocol says: at CR LF, CR or LF, nowhere else."""

    def __init__(self, text: str, width: Width) -> None:
        self.text = text
        self.width = width
        ends = list(_LINE_END.finditer(text))
        self._starts = [0, *(match.end() for match in ends)]
        self._stops = [*(match.start() for match in ends), len(text)]

    def position(self, offset: int) -> Position:
        """Where a character stands; both numbers count from 0."""
        line = bisect.bisect_right(self._starts, offset) - 1
        start = self._starts[line]
        return Position(line, self.width(self.text[start : min(offset, self._stops[line])]))

    def range(self, start: int, end: int) -> Range:
        """The place of the characters from one offset up to another."""
        return Range(self.position(start), self.position(end))

    def offset(self, position: Position) -> int:
        """The character at a position; behind the end of a line or text means its end."""
        if position.line >= len(self._starts):
            return len(self.text)
        start, stop = self._starts[position.line], self._stops[position.line]
        line = self.text[start:stop]
        if line.isascii():
            return start + min(position.character, len(line))
        units = 0
        for index, character in enumerate(line):
            units += self.width(character)
            if units > position.character:
                return start + index
        return stop


def changed(text: str, change: TextDocumentContentChangeEvent, width: Width) -> str:
    """A text after one change."""
    if isinstance(change, TextDocumentContentChangeWholeDocument):
        return change.text
    before = Text(text, width)
    start, end = before.offset(change.range.start), before.offset(change.range.end)
    return text[:start] + change.text + text[max(start, end) :]


def plain(text: str) -> str:
    """The text as the compiler reads it from a file; every place keeps its line and column."""
    return _LINE_END.sub("\n", text)
