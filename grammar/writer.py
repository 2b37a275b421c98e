"""How items stand on lines: blocks on one line or several, neighbours in columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

from lottoc.grammar.columns import align, call_cells
from lottoc.grammar.layout import INDENT, Page, write_chain
from lottoc.grammar.lexemes import Lexemes
from lottoc.grammar.outline import Block, Entry, Part, Remark, Statement
from lottoc.grammar.pieces import WIDTH, pieces
from lottoc.grammar.values import Value

_BETWEEN = "   "
"""What stands between the entries of one line."""


def write(found: Lexemes, items: Sequence[Part]) -> Page:
    """The lines of a recipe, with the comments behind them."""
    return _Writer(found, items).page


class _Writer:
    def __init__(self, found: Lexemes, items: Sequence[Part]) -> None:
        self._found, self.page = found, Page()
        self._items = items = self._settled(items)
        self._tall = [isinstance(item, Block) and not _is_line(item) for item in items]
        starts = [number for number in range(len(items)) if not self._joins(number)]
        for begin, end in pairwise([*starts, len(items)]):
            if begin and self._apart(begin):
                self.page.line("")
            self._run(items[begin:end], tall=self._tall[begin])

    def _settled(self, parts: Sequence[Part]) -> list[Part]:
        """The parts after it is known how each value with comments or line breaks is laid out.

        A comment that has no place within a value stands behind it, or else below.
        """
        settled: list[Part] = []
        for part in parts:
            settled.append(part)
            if isinstance(part, Block):
                part.body = self._settled(part.body)
            elif not isinstance(part, Remark) and (part.value.spread or part.value.before):
                tree, stray = pieces(self._found, part.value)
                part.value.tree = tree if tree.forced else None
                part.comment, *more = [*stray, *filter(None, [part.comment])] or [""]
                settled += [Remark(comment, False) for comment in more]
        return settled

    def _joins(self, number: int) -> bool:
        """Whether an item stands in columns with the one before."""
        item, before = self._items[number], self._items[number - 1]
        if number == 0 or item.gap or self._tall[number] or self._tall[number - 1]:
            return False
        kinds = [part.kind for part in (item, before) if isinstance(part, Block | Statement)]
        return len(kinds) == 2 and kinds[0] == kinds[1]

    def _apart(self, number: int) -> bool:
        """Whether a blank line stands before an item: the author's, or one around a tall block."""
        items, before = self._items, self._items[number - 1]
        if items[number].gap or self._tall[number - 1]:
            return True
        if isinstance(before, Remark):
            return False
        while isinstance(items[number], Remark):  # comments belong to what they stand above
            number += 1
            if number == len(items) or items[number].gap:
                return False
        return self._tall[number]

    def _run(self, run: Sequence[Part], *, tall: bool) -> None:
        blocks = [part for part in run if isinstance(part, Block)]
        if isinstance(run[0], Remark):
            self.page.line(run[0].comment)
        elif not blocks:
            self._statements([part for part in run if isinstance(part, Statement)])
        elif tall:
            self._tall_block(blocks[0])
        else:
            for block, line in zip(blocks, _table(blocks), strict=True):
                self.page.line(line, block.comment)

    def _statements(self, run: Sequence[Statement]) -> None:
        width = max(len(statement.head) for statement in run)
        equals = " = " if run[0].kind in ("param", "mask") else " "
        conditions = _conditions(run)
        for statement, condition in zip(run, conditions, strict=True):
            self.page.line(f"{statement.head:<{width}}{equals}")
            self._value(statement.value, condition, 0)
            self.page.comment(statement.comment)

    def _value(self, value: Value, text: str, indent: int) -> None:
        """Write a value, as `text` if it may stand on one line."""
        if value.tree is None and self.page.column + len(text) <= WIDTH:
            self.page.write(text)
        else:
            write_chain(self.page, value.tree or pieces(self._found, value)[0], indent)

    def _tall_block(self, block: Block) -> None:
        self.page.line(f"{block.head} {{", block.opening)
        starts = [number for number, part in enumerate(block.body) if part.gap or number == 0]
        for begin, end in pairwise([*starts, len(block.body)]):
            if begin:
                self.page.line("")
            self._paragraph(block.body[begin:end])
        self.page.line("}", block.comment)

    def _paragraph(self, body: Sequence[Part]) -> None:
        """Entries without a blank line between them: their `=` stand below one another."""
        entries = [part for part in body if isinstance(part, Entry)]
        width = max((len(entry.head) for entry in entries), default=0)
        room = WIDTH - INDENT - width - len(" = ")
        for function, run in groupby(body, lambda part: _function(part, room)):
            parts = list(run)
            texts = _arguments(parts, room) if function and len(parts) > 1 else []
            for number, part in enumerate(parts):
                if isinstance(part, Entry):
                    self.page.line(f"{'':{INDENT}}{part.head:<{width}} = ")
                    self._value(part.value, texts[number] if texts else part.value.flat, INDENT)
                    self.page.comment(part.comment)
                else:
                    self.page.remark(part.comment, INDENT)


def _is_line(block: Block) -> bool:
    """Whether a block stands on one line: it was written so, and the line is not too long."""
    if block.opening or (block.body and not block.one_line):
        return False
    return len(_line(block)) <= WIDTH or not block.body


def _line(block: Block) -> str:
    cells = [text for _, text in _cells(block)]
    return f"{block.head} {{ {_BETWEEN.join(cells)} }}" if cells else f"{block.head} {{}}"


def _cells(block: Block) -> list[tuple[str, str]]:
    entries = [part for part in block.body if isinstance(part, Entry)]
    return [(entry.head, f"{entry.head} = {entry.value.flat}") for entry in entries]


def _table(blocks: Sequence[Block]) -> list[str]:
    """Blocks on a line each: braces and entries in columns, as far as the width allows."""
    if len(blocks) == 1:
        return [_line(blocks[0])]
    width = max(len(block.head) for block in blocks)
    heads = [f"{block.head:<{width}} {{" for block in blocks]
    cells = [_cells(block) for block in blocks]
    plain = [_BETWEEN.join(text for _, text in row) for row in cells]
    for bodies in (align(cells, _BETWEEN), plain):
        lines = [
            f"{head} {body} }}" if body else f"{head}}}"
            for head, body in zip(heads, bodies, strict=True)
        ]
        if max(map(len, lines)) <= WIDTH:
            return lines
    return [_line(block) for block in blocks]


def _function(part: Part, room: int) -> str:
    """What a value on one line calls, to find neighbours that call the same; else empty."""
    if not isinstance(part, Entry) or not part.value.flat.endswith(")"):
        return ""
    fits = part.value.tree is None and len(part.value.flat) <= room
    return part.value.flat.partition("(")[0] if fits else ""


def _arguments(parts: Sequence[Part], room: int) -> list[str]:
    """The calls of neighbours, their arguments in columns; empty if there is no room for it."""
    rows = [call_cells(part.value.flat) for part in parts if isinstance(part, Entry)]
    texts = align(rows, " ")
    return texts if all(rows) and max(map(len, texts)) <= room else []


def _conditions(run: Sequence[Statement]) -> list[str]:
    """The values of neighbours; right sides stand in a column where left sides are the same."""
    texts = []
    for left, same in groupby(run, lambda statement: statement.left):
        alike = list(same)
        width = max(len(statement.operator) for statement in alike)
        for statement in alike:
            flat = statement.value.flat
            if left:
                right = flat[len(left) + len(statement.operator) + 2 :]
                flat = f"{left} {statement.operator:<{width}} {right}"
            texts.append(flat)
    return texts
