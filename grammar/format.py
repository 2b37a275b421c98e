"""The one style of a recipe: what `lottoc fmt` writes. specs/language.md says its rules."""

from __future__ import annotations

from collections.abc import Sequence

from lottoc.diagnostics import Source
from lottoc.grammar.columns import comment_columns
from lottoc.grammar.lexemes import Lexemes, lexemes
from lottoc.grammar.outline import Outline, Part
from lottoc.grammar.parser import MAX_LENGTH, parse
from lottoc.grammar.values import NotARecipe
from lottoc.grammar.writer import write


def format_recipe(source: Source) -> str:
    """The recipe in the one style, with every word and comment that it had.

    Only commas before a closing bracket come and go. Raises the `RecipeError` of
    `lottoc.grammar.parser.parse` for a recipe that it raises one for.
    """
    text = source.text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    found, items = _read(source, text)
    page = write(found, items)
    lines = comment_columns(page.lines, page.comments)
    result = "\n".join([*lines, ""])
    written = lexemes(result)
    if written.words() != found.words() or written.comments() != found.comments():
        raise AssertionError("formatting would change what the recipe says")
    return result


def _read(source: Source, text: str) -> tuple[Lexemes, Sequence[Part]]:
    """The lexemes and items of a recipe that parses."""
    items: Sequence[Part] | None = None
    if len(source.text) <= MAX_LENGTH:
        found = lexemes(text)
        outline = Outline(found)
        try:
            items = outline.items()
        except NotARecipe:
            items = None
    if items is None or outline.odd:
        parse(source)
    if items is None:
        raise AssertionError("the parser takes a recipe that the formatter does not")
    return found, items
