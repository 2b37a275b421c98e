"""A value as a tree of what may be broken over lines: chains of operators, and brackets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lottoc.grammar.lexemes import (
    BREAK,
    COMMENT,
    EQUALITY,
    NAME,
    OPERATOR,
    ORDER,
    UNIT,
    Lexemes,
)
from lottoc.grammar.values import Value

_COMPARISONS = (ORDER, EQUALITY)
_OPERATORS = (OPERATOR, "-")
_AFTER_OPERAND = (*_COMPARISONS, *_OPERATORS, ",", ")", "]")


WIDTH = 100
"""How many characters a line may have, comments aside."""

Flat = str | None
"""A text on one line; None if it is longer than any line, and so of no use."""


@dataclass(slots=True)
class Bracket:
    """`[…]`, `(…)`, or the arguments of a call; `forced` means written over several lines."""

    open: str
    close: str = ""
    items: list[Item] = field(default_factory=list)
    opening: str = ""
    last: list[str] = field(default_factory=list)
    """Comments before the closing bracket."""
    separated: bool = True
    """Whether commas may stand in it."""
    forced: bool = False
    flat: Flat = None


@dataclass(slots=True)
class Operand:
    """What stands between operators: words, brackets, and the two sides of a condition."""

    parts: list[str | Bracket | Chain]
    flat: Flat = None
    operator: str = ""
    """The operator before it."""
    remarks: list[str] = field(default_factory=list)
    """Comments on lines of their own before it."""
    comment: str = ""

    @property
    def forced(self) -> bool:
        """Whether a part of it stands on several lines."""
        return any(part.forced for part in self.parts if not isinstance(part, str))


@dataclass(slots=True)
class Chain:
    """`a - b | c`; of one operand if there is no operator."""

    operands: list[Operand]
    forced: bool
    flat: Flat


@dataclass(slots=True)
class Item:
    """An element or argument with its comments; `prefix` is `name = ` or `>= `."""

    prefix: str
    value: Chain
    remarks: list[str]
    comment: str = ""


def pieces(found: Lexemes, value: Value) -> tuple[Chain, list[str]]:
    """The tree of a value or condition, and the comments for which there is no place within it."""
    reader = _Reader(found, value)
    return reader.condition(), reader.stray


@dataclass(slots=True)
class _Gap:
    """What stands between two words: comments, and whether the first begins a line."""

    after: int
    comments: list[str]
    fresh: bool
    broken: bool


class _Reader:
    """Reads the lexemes of a well-formed value.

    A comment where no line can end moves on to the next place where one can.
    """

    def __init__(self, found: Lexemes, value: Value) -> None:
        self._texts, self._kinds = found.texts, found.kinds
        self._at, self._end = value.begin, value.end
        self.stray = list(value.before)

    def condition(self) -> Chain:
        """A value, or two that are compared."""
        return self._chain(_COMPARISONS, self._side)

    def _side(self) -> Operand:
        chain = self._chain(_OPERATORS, self._operand)
        return Operand([chain], chain.flat)

    def _chain(self, operators: tuple[str, ...], operand: Callable[[], Operand]) -> Chain:
        operands, forced = [operand()], False
        while (sign := self._gap(self._at)).after < self._end:
            if self._kinds[sign.after] not in operators:
                break
            behind = self._gap(sign.after + 1)
            self._at = behind.after
            comment, remarks = self._place_within(sign, behind)
            forced = forced or sign.broken or behind.broken or bool(comment)
            operands[-1].comment = comment
            operands.append(operand())
            operands[-1].operator, operands[-1].remarks = self._texts[sign.after], remarks
        texts = [operands[0].flat]
        for other in operands[1:]:
            texts += [f" {other.operator} ", other.flat]
        return Chain(operands, forced or any(each.forced for each in operands), _joined(texts))

    def _operand(self) -> Operand:
        """A term with its signs, and everything up to the next operator."""
        operand, begun = Operand([]), False
        while (gap := self._gap(self._at)).after < self._end:
            kind, text = self._kinds[gap.after], self._texts[gap.after]
            if begun and kind in _AFTER_OPERAND:
                break
            self.stray += gap.comments
            self._at = gap.after
            if kind in "([":
                operand.parts.append(self._bracket(separated=begun or kind == "["))
            else:
                dotted = operand.parts[-1:] == ["."]
                operand.parts.append(f" {text}" if begun and kind == UNIT and not dotted else text)
                self._at += 1
            begun = begun or kind not in "-~"
        operand.flat = _joined(p if isinstance(p, str) else p.flat for p in operand.parts)
        return operand

    def _bracket(self, *, separated: bool) -> Bracket:
        bracket = Bracket(self._texts[self._at], separated=separated)
        gap = self._gap(self._at + 1)
        self._at = gap.after
        bracket.opening, remarks = self._place_within(gap)
        while self._kinds[self._at] not in ")]":
            item = Item(self._prefix(), self._chain(_OPERATORS, self._operand), remarks)
            gaps = [self._gap(self._at)]
            if self._kinds[gaps[0].after] == ",":
                gaps.append(self._gap(gaps[0].after + 1))
            self._at = gaps[-1].after
            item.comment, remarks = self._place(*gaps)
            bracket.items.append(item)
        bracket.last, bracket.close = remarks, self._texts[self._at]
        self._at += 1
        bracket.forced = _forced(bracket, broken=gap.broken)
        inside = [text for item in bracket.items for text in (item.prefix, item.value.flat, ", ")]
        bracket.flat = _joined([bracket.open, *inside[:-1], bracket.close])
        return bracket

    def _prefix(self) -> str:
        """`name = ` or `>= `, if the next item begins with one."""
        kind, text = self._kinds[self._at], self._texts[self._at]
        gap = self._gap(self._at + 1)
        if kind == ORDER:
            text = f"{text} "
        elif kind in (NAME, UNIT) and self._kinds[gap.after] == "=":
            gap, stray = self._gap(gap.after + 1), gap.comments
            self.stray += stray
            text = f"{text} = "
        else:
            return ""
        self.stray += gap.comments
        self._at = gap.after
        return text

    def _gap(self, at: int) -> _Gap:
        """What stands from a lexeme on before the next word."""
        gap = _Gap(at, [], False, False)
        while (kind := self._kinds[gap.after]) in (BREAK, COMMENT):
            if kind == COMMENT:
                gap.fresh = gap.fresh or (gap.broken and not gap.comments)
                gap.comments.append(self._texts[gap.after].rstrip(" \t"))
            gap.broken = True
            gap.after += 1
        return gap

    def _place_within(self, *gaps: _Gap) -> tuple[str, list[str]]:
        """As `_place`, but what may go on to the end of the value without a detour does so."""
        later = COMMENT in self._kinds[self._at : self._end]
        return self._place(*gaps) if later or any(gap.comments for gap in gaps) else ("", [])

    def _place(self, *gaps: _Gap) -> tuple[str, list[str]]:
        """The comment that ends the line before some gaps, and those on lines of their own."""
        comments = [*self.stray, *(comment for gap in gaps for comment in gap.comments)]
        first = next((gap for gap in gaps if gap.comments), None)
        if not self.stray and (first is None or first.fresh):
            return "", comments
        self.stray = []
        return comments[0], comments[1:]


def _joined(parts: Iterable[Flat]) -> Flat:
    texts, length = list[str](), 0
    for part in parts:
        if part is None or (length := length + len(part)) > WIDTH:
            return None
        texts.append(part)
    return "".join(texts)


def _forced(bracket: Bracket, *, broken: bool) -> bool:
    if bracket.opening or bracket.last or (broken and bracket.items):
        return True
    return any(i.remarks or i.comment or i.value.forced for i in bracket.items)
