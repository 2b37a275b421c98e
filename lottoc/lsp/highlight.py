"""Colours for editors that have no grammar of their own: the kind of every word of a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lottoc.grammar.scan import BLOCK_KINDS, STATEMENTS
from lottoc.grammar.tokens import Token, tokens
from lottoc.lsp.analysis import Analysis

KINDS = (
    "comment",
    "string",
    "number",
    "keyword",
    "type",
    "property",
    "parameter",
    "function",
    "operator",
    "variable",
)
"""The legend: a token is sent as an index into it."""

_UNITS = frozenset({"step", "steps", "epoch", "epochs"})
_BARE = frozenset({"string", "number"})
_HEADS = (*BLOCK_KINDS, "param", "mask")


def highlights(analysis: Analysis) -> list[int]:
    """Five numbers a token: lines and columns from the one before, length, kind, no modifiers."""
    text, data = analysis.text, list[int]()
    line = column = 0
    for token, kind in _kinds(list(tokens(text.text))):
        start = text.position(token.start)
        if start.line != line:
            column = 0
        data += [start.line - line, start.character - column, text.width(token.text)]
        data += [KINDS.index(kind), 0]
        line, column = start.line, start.character
    return data


def _kinds(words: Sequence[Token]) -> Iterator[tuple[Token, str]]:
    written = [word for word in words if word.kind != "comment"]
    around = zip([None, *written], [*written[1:], None], strict=False)
    braces, depth = False, 0
    for word in words:
        if word.kind == "comment":
            yield word, "comment"
            continue
        before, after = next(around)
        if word.kind == "name":
            yield word, _name(word, before, after, block=braces, call=depth > 0)
        elif word.kind in _BARE:
            yield word, word.kind
        elif word.text in "([":
            depth += 1
        elif word.text in ")]":
            depth = max(0, depth - 1)
        elif word.text in "{}":
            braces, depth = word.text == "{", 0
        elif word.text not in ",.":
            yield word, "operator"


def _name(
    word: Token, before: Token | None, after: Token | None, *, block: bool, call: bool
) -> str:
    """The kind of a name by its neighbours, and by the brackets it stands in."""
    left, right = before.text if before else "", after.text if after else ""
    if left == ".":
        return "property"
    if not block and left in _HEADS and (right in ("{", "=") or right[:1] == '"'):
        return "type"
    if right == "=":
        return "parameter" if call else "property"
    if right == "(":
        return "function"
    if not block and word.text in (*BLOCK_KINDS, *STATEMENTS):
        return "keyword"
    if word.text in _UNITS and before and (before.kind == "number" or left == "]"):
        return "keyword"
    return "variable"
