"""From the text of a recipe to its syntax tree, or to every syntax error in it."""

from __future__ import annotations

import dataclasses
import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from lottoc.diagnostics import Findings, Source, Span
from lottoc.grammar.check import check, too_deep
from lottoc.grammar.scan import Scan, scan
from lottoc.grammar.stop import CHARACTER, END, Stop, Word, shorten
from lottoc.grammar.syntax import Node, Recipe, Value

if TYPE_CHECKING:
    from lark import Lark, Token

Start = Literal["recipe", "lone_value"]

MAX_ERRORS = 50
"""How many syntax errors one run reports."""
MAX_LENGTH = 2**20
"""How many characters a recipe may have; parsing takes up to about 15 µs for each."""


def parse(source: Source) -> Recipe:
    """The syntax tree of a recipe.

    Raises a `RecipeError` with at most one error of form for each item, in source order.
    """
    findings = Findings()
    found = _scan(source, findings)
    recipe = _build(source, "recipe", 0, len(source.text), findings)
    if recipe is None:
        _explain_items(source, found, findings)
    del findings.diagnostics[MAX_ERRORS:]
    findings.raise_errors()
    return dataclasses.replace(cast(Recipe, recipe), comments=tuple(found.comments))


def parse_value(source: Source) -> Value:
    """The value a command line gives a parameter, as in `-D target=90%`.

    Raises a `RecipeError` with one syntax error.
    """
    findings = Findings()
    _scan(source, findings)
    value = _build(source, "lone_value", 0, len(source.text), findings)
    if value is None:
        _explain(source, "lone_value", 0, len(source.text), findings)
    findings.raise_errors()
    return cast(Value, value)


def read_piece(source: Source, start: Start, begin: int, end: int) -> Node | None:
    """The tree of a part of a source; None if it does not parse or nests too deep for a walk."""
    findings = Findings()
    node = _build(source, start, begin, end, findings)
    deep = any(d.code == "nesting-too-deep" for d in findings.diagnostics)
    return None if deep else node


def _scan(source: Source, findings: Findings) -> Scan:
    if len(source.text) > MAX_LENGTH:
        message = f"the recipe has {len(source.text)} characters, more than {MAX_LENGTH}"
        findings.error("recipe-too-long", message, Span(source, 0, 0))
        findings.raise_errors()
    found = scan(source)
    if found.too_deep is not None:
        too_deep(Span(source, found.too_deep, found.too_deep + 1), findings)
        findings.raise_errors()
    return found


def _build(source: Source, start: Start, begin: int, end: int, findings: Findings) -> Node | None:
    """The tree of a piece of the source, checked; None if it does not parse."""
    from lark.exceptions import UnexpectedInput

    from lottoc.grammar.build import build

    try:
        tree = _lark().parse(source.text[begin:end], start=start)
    except UnexpectedInput:
        return None
    node = build(tree, source, begin, findings)
    check(node, findings)
    return node


def _explain_items(source: Source, found: Scan, findings: Findings) -> None:
    """Judge each item of a recipe that does not parse, so that all their errors are told."""
    cuts = sorted({0, *found.items, len(source.text)})
    for begin, end in pairwise(cuts):
        if len(findings.errors) >= MAX_ERRORS:
            return
        if _build(source, "recipe", begin, end, findings) is None:
            _explain(source, "recipe", begin, end, findings)
    if not findings.errors:  # every cut part parses, the whole does not
        _explain(source, "recipe", 0, len(source.text), findings)


def _explain(source: Source, start: Start, begin: int, end: int, findings: Findings) -> None:
    from lottoc.grammar.errors import diagnose

    findings.diagnostics.append(diagnose(_stop(source, start, begin, end)))


def _stop(source: Source, start: Start, begin: int, end: int) -> Stop:
    """Where the parse of a piece stops; the piece is known not to parse."""
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    def word(token: Token) -> Word:
        at = begin + cast(int, token.start_pos)
        return Word(token.type, shorten(token), Span(source, at, at + len(token)))

    read: list[Token] = []
    found: Word | None = None
    parser = _lark().parse_interactive(source.text[begin:end], start=start)
    try:
        for token in parser.iter_parse():
            read.append(token)
    except UnexpectedToken as error:
        found = word(error.token)
        if read[-1:] and read[-1] is error.token:
            read.pop()
    except UnexpectedCharacters as error:
        at = begin + cast(int, error.pos_in_stream)
        found = Word(CHARACTER, source.text[at], Span(source, at, at + 1))
    words = tuple(map(word, read))
    expected = _accepted(start, read)
    found = found or _end(source, begin, end, words)
    return Stop(source, words, found, expected, lone_value=start == "lone_value")


def _accepted(start: Start, read: list[Token]) -> frozenset[str]:
    """The terminals that may follow what was read.

    A parser that has met an error cannot tell: it may have given up alternatives on meeting it.
    """
    parser = _lark().parse_interactive(start=start)
    for token in read:
        parser.feed_token(token)
    return frozenset(cast(Any, parser).accepts())


def _end(source: Source, begin: int, end: int, words: tuple[Word, ...]) -> Word:
    """What follows a piece: the first word of the next item, or the end of the file."""
    if match := re.compile(r"\s*(\w+)").match(source.text, end):
        return Word(END, shorten(match[1]), Span(source, match.start(1), match.end(1)))
    last = words[-1].span.end if words else begin
    return Word(END, "", Span(source, last, last))


@cache
def _lark() -> Lark:
    from lark import Lark

    grammar = Path(__file__).with_name("lotto.lark").read_text(encoding="utf-8")
    return Lark(
        grammar,
        parser="lalr",
        lexer="contextual",
        propagate_positions=True,
        start=["recipe", "lone_value"],
    )
