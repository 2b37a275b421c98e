"""What can be read of a recipe that does not parse: an editor's recipe is broken most of the time.

Items that parse by themselves are read as ever. Of a block with a mistake in it remain its name
and every entry whose value, or whose beginning, can be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import cast

from lottoc.diagnostics import Diagnostic, RecipeError, Source, Span
from lottoc.grammar import syntax
from lottoc.grammar.parser import MAX_LENGTH, parse, read_piece
from lottoc.grammar.scan import scan
from lottoc.grammar.tokens import Token, TokenKind, tokens

_DROPPED = 4
"""How many words at the end of an unfinished value may be given up to read its beginning."""


def parse_partial(source: Source) -> tuple[syntax.Recipe, Sequence[Diagnostic]]:
    """All that can be read of a recipe, and the errors that `parse` raises for it."""
    try:
        return parse(source), ()
    except RecipeError as error:
        return _readable(source), error.diagnostics


_INSIDE = frozenset({"duplicate-key", "duplicate-argument", "bad-number", "bad-escape"})
"""Errors of parts that parse all the same."""


def broken_parts(source: Source, errors: Sequence[Diagnostic]) -> list[tuple[int, int]]:
    """From where to where the parts reach that the syntax errors of a recipe are in."""
    inside = [d.labels[0].span.start for d in errors if d.code in _INSIDE and d.labels]
    return [
        (begin, end)
        for begin, end, piece in _pieces(source)
        if piece is None or any(begin <= place < end for place in inside)
    ]


@lru_cache(maxsize=1)  # an editor asks for a text's items, and then for its broken parts
def _pieces(source: Source) -> tuple[tuple[int, int, syntax.Recipe | None], ...]:
    """The parts between the places where items begin, each with its tree if it parses."""
    cuts = pairwise(sorted({0, *scan(source).items, len(source.text)}))
    return tuple(
        (begin, end, cast(syntax.Recipe | None, read_piece(source, "recipe", begin, end)))
        for begin, end in cuts
    )


def _readable(source: Source) -> syntax.Recipe:
    whole = Span(source, 0, len(source.text))
    if len(source.text) > MAX_LENGTH:
        return syntax.Recipe(whole, ())
    items: list[syntax.Item] = []
    for begin, end, piece in _pieces(source):
        items += piece.items if piece else _blocks(source, begin, end)
    return syntax.Recipe(whole, tuple(items), tuple(scan(source).comments))


def _blocks(source: Source, begin: int, end: int) -> Iterator[syntax.Item]:
    """The blocks of a piece that does not parse; what else stands in it is passed over."""
    words = [t for t in tokens(source.text, begin, end) if t.kind != "comment"]
    at = 0
    while at < len(words):
        brace = at + 2 + _is(words, at + 2, "string")
        if not _is(words, at, "name") or not _is(words, at + 1, "name") or not _opens(words, brace):
            at += 1
            continue
        close = _closing(words, brace)
        end = words[min(close, len(words) - 1)].end
        yield _block(source, words[at:brace], words[brace + 1 : close], end)
        at = close + 1


def _is(words: Sequence[Token], index: int, kind: TokenKind) -> bool:
    return index < len(words) and words[index].kind == kind


def _opens(words: Sequence[Token], index: int) -> bool:
    return index < len(words) and words[index].text == "{"


def _closing(words: Sequence[Token], brace: int) -> int:
    """The index of the next `}`, or of the end: blocks do not nest."""
    return next((i for i in range(brace, len(words)) if words[i].text == "}"), len(words))


def _block(source: Source, head: Sequence[Token], body: Sequence[Token], end: int) -> syntax.Block:
    kind, name = head[0], head[1]
    path = None
    if len(head) > 2 and head[2].closed:
        path = read_piece(source, "lone_value", head[2].start, head[2].end)
    entries = tuple(entry for part in _parts(body) if (entry := _entry(source, part)))
    return syntax.Block(
        Span(source, kind.start, end),
        kind.text,
        _span(source, kind),
        name.text,
        _span(source, name),
        path if isinstance(path, syntax.String) else None,
        entries,
    )


def _parts(body: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """The words of a block cut where `key =` begins an entry."""
    depth, start = 0, None
    for index, (word, after) in enumerate(pairwise(body)):
        depth = max(0, depth + (word.text in "([") - (word.text in ")]"))
        is_key = word.kind == "name" and after.text == "="
        # In brackets `name =` is an argument, unless nothing led up to one.
        if is_key and (depth == 0 or body[index - 1].text not in ("(", ",")):
            if start is not None:
                yield body[start:index]
            depth, start = 0, index
    if start is not None:
        yield body[start:]


def _entry(source: Source, part: Sequence[Token]) -> syntax.Entry | None:
    key, equals, *words = part
    for stop in range(len(words), max(0, len(words) - _DROPPED), -1):
        end = words[stop - 1].end
        value = read_piece(source, "lone_value", equals.end, end)
        if value is not None:
            span = Span(source, key.start, end)
            return syntax.Entry(span, key.text, _span(source, key), cast(syntax.Value, value))
    return None


def _span(source: Source, token: Token) -> Span:
    return Span(source, token.start, token.end)
