"""How a value that does not fit on its line, or holds comments, is laid out over several."""

from __future__ import annotations

from dataclasses import dataclass, field

from lottoc.grammar.pieces import WIDTH, Bracket, Chain, Flat, Operand

INDENT = 2


@dataclass(slots=True)
class Page:
    """Lines with the comments behind them; the last line is the one being written."""

    lines: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)

    @property
    def column(self) -> int:
        """How far the last line has come."""
        return len(self.lines[-1])

    def line(self, text: str, comment: str = "") -> None:
        """Begin a line."""
        self.lines.append(text)
        self.comments.append(comment)

    def write(self, text: str) -> None:
        """Go on with the last line."""
        self.lines[-1] += text

    def comment(self, text: str) -> None:
        """End the last line with a comment."""
        self.comments[-1] = text

    def remark(self, text: str, indent: int) -> None:
        """A comment on a line of its own."""
        self.line(" " * indent + text)


def write_chain(page: Page, chain: Chain, indent: int, reserve: int = 0) -> None:
    """Write a value behind what the last line holds; `reserve` characters follow it.

    A broken bracket closes at the column `indent`, or where the operands of a broken chain begin.
    """
    if chain.flat is not None and not chain.forced and _fits(page, chain.flat, reserve):
        page.write(chain.flat)
        return
    first, *rest = chain.operands
    column = page.column if rest else indent
    begins_line = not page.lines[-1].strip(" ")
    _write_operand(page, first, column, 0 if rest else reserve)
    for operand in rest:
        sign = f"{operand.operator} "
        start = column if begins_line else column - len(sign)
        for remark in operand.remarks:
            page.remark(remark, start)
        page.line(" " * start + sign)
        _write_operand(page, operand, column, 0 if operand is not rest[-1] else reserve)


def _write_operand(page: Page, operand: Operand, indent: int, reserve: int) -> None:
    brackets = [p for p in operand.parts if isinstance(p, Bracket) and (p.items or p.forced)]
    broken = [bracket for bracket in brackets if bracket.forced or bracket.flat is None]
    if not broken and not _fits(page, operand.flat, reserve):
        broken = brackets[-1:]
    for part in operand.parts:
        if isinstance(part, str):
            page.write(part)
        elif isinstance(part, Chain):
            write_chain(page, part, indent, reserve)
        elif part.flat is None or any(part is bracket for bracket in broken):
            _write_bracket(page, part, indent)
        else:
            page.write(part.flat)
    page.comment(operand.comment)


def _write_bracket(page: Page, bracket: Bracket, indent: int) -> None:
    """One item a line."""
    page.write(bracket.open)
    inner = indent + INDENT
    page.comment(bracket.opening)
    for item in bracket.items:
        for remark in item.remarks:
            page.remark(remark, inner)
        page.line(" " * inner + item.prefix)
        comma = "," if bracket.separated else ""
        write_chain(page, item.value, inner, len(comma))
        page.write(comma)
        page.comment(item.comment)
    for remark in bracket.last:
        page.remark(remark, inner)
    page.line(" " * indent + bracket.close)


def _fits(page: Page, text: Flat, reserve: int) -> bool:
    return text is not None and page.column + len(text) + reserve <= WIDTH
