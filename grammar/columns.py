"""What stands below one another: entries and arguments of neighbouring lines, and comments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

Cell = tuple[str, str]
"""What a column is about, such as a key, and the text in it."""

_COMMENT_COLUMN = 40
_COMMENT_STOP = 5
_COMMENT_GAP = 2

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*\(")
_MARK = re.compile(r'"(?:[^"\\]|\\.)*"|[()\[\],]')
_NAMED = re.compile(r"([A-Za-z_]\w*) = ")


def align(rows: Sequence[Sequence[Cell]], gap: str) -> list[str]:
    """The rows as text, in columns as long as neighbours are about the same."""
    lines = [""] * len(rows)
    _align(rows, lines, gap, [number for number, row in enumerate(rows) if row], 0)
    return lines


def _align(
    rows: Sequence[Sequence[Cell]], lines: list[str], gap: str, which: Iterable[int], column: int
) -> None:
    for _, run in groupby(which, lambda number: rows[number][column][0]):
        alike = list(run)
        longer = [number for number in alike if len(rows[number]) > column + 1]
        width = max((len(rows[number][column][1]) for number in longer), default=0)
        for number in alike:
            text = rows[number][column][1]
            lines[number] += text.ljust(width) + gap if number in longer else text
        if longer:
            _align(rows, lines, gap, longer, column + 1)


def call_cells(call: str) -> list[Cell]:
    """The arguments of a call, the function with the first; empty if it is no single call."""
    function = _FUNCTION.match(call)
    if not function:
        return []
    cells, depth, start = list[Cell](), 1, function.end()
    for mark in _MARK.finditer(call, start):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(mark[0], 0)
        if (depth == 1 and mark[0] == ",") or depth == 0:
            cells.append(_argument(call[start : mark.end()]))
            start = mark.end() + 1
        if depth == 0:
            break
    if start <= len(call) or not cells:
        return []
    (key, text), *rest = cells
    return [(f"{function[0]}{key}", f"{function[0]}{text}"), *rest]


def _argument(text: str) -> Cell:
    name = _NAMED.match(text)
    return (name[1] if name else "", text)


def comment_columns(lines: Sequence[str], comments: Sequence[str]) -> list[str]:
    """Whole lines: comments of neighbouring lines begin in one column."""
    whole = list(lines)
    for has_comment, run in groupby(range(len(lines)), lambda number: bool(comments[number])):
        if not has_comment:
            continue
        numbers = list(run)
        longest = max(len(lines[number]) for number in numbers)
        stop = -(-(longest + _COMMENT_GAP) // _COMMENT_STOP) * _COMMENT_STOP
        for number in numbers:
            whole[number] = lines[number].ljust(max(stop, _COMMENT_COLUMN)) + comments[number]
    return whole
