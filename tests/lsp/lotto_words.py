"""Every word of a recipe and what the grammar's own scanner takes it for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lottoc.diagnostics import Source
from lottoc.grammar import parser, syntax
from lottoc.grammar.scan import scan
from lottoc.lower.blocks import SHAPES

ROOT = Path(__file__).parents[2]
RECIPES = sorted(
    path
    for folder in ("examples", "tests/grammar/recipes")
    for path in (ROOT / folder).rglob("*.lotto")
)
KEYS = {key for shape in SHAPES.values() for key in shape.keys}
_KINDS = {
    **dict.fromkeys(("EMIT", "PARAM", "MASK", "REQUIRE", "IMPORT"), "keyword"),
    **dict.fromkeys(("NUMBER", "PERCENT", "RANGE", "RATIO"), "number"),
    **dict.fromkeys(("OPERATOR", "SIGN", "ORDER", "EQUALITY", "_EQUALS"), "operator"),
    "UNIT": "unit",
    "STRING": "string",
}


class Word(NamedTuple):
    start: int
    text: str
    kind: str


def words(text: str) -> Iterator[Word]:
    """Words by the parser's tokens and, for names, by where they stand in its tree."""
    source = Source("recipe", text)
    for comment in scan(source).comments:
        yield Word(comment.start, comment.text, "comment")
    for token in parser._lark().parse_interactive(text, start="recipe").iter_parse():
        if token.type in _KINDS:
            yield Word(token.start_pos, str(token), _KINDS[token.type])
    for node, _ in syntax.walk(parser.parse(source)):
        match node:
            case syntax.Block():
                yield Word(node.kind_span.start, node.kind, "keyword")
                yield Word(node.name_span.start, node.name, "type")
            case syntax.Entry(key=key):
                yield Word(node.key_span.start, key, "key" if key in KEYS else "other key")
            case syntax.Attribute():
                yield Word(node.name_span.start, node.name, "attribute")
            case syntax.Argument(name=str(name)):
                yield Word(node.span.start, name, "argument")
            case syntax.Call(function=syntax.Name() as function):
                yield Word(function.span.start, function.value, "function")
