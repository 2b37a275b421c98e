"""What can be said of a recipe whose syntax is wrong in places: mistakes elsewhere, and no echoes.

An error is told beside the syntax errors if it would be there without them. So nothing is said of
a part that does not parse, nor of an item that names what such a part declares.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeGuard

from lottoc.catalog import Catalog
from lottoc.diagnostics import Diagnostic, Findings, LottoError, Source
from lottoc.grammar import syntax
from lottoc.grammar.recover import broken_parts, parse_partial
from lottoc.grammar.scan import BLOCK_KINDS, STATEMENTS
from lottoc.grammar.tokens import Token, tokens
from lottoc.lower.check import survey

_Declared = syntax.Block | syntax.Param | syntax.MaskDefinition

LONGEST = 100_000
"""Longer recipes with syntax errors are not looked through for others; that would take seconds."""

_LEAVES = frozenset({"ticket", "mask", "param", "emit", "require"})
"""Items that only what names them depends on. All tickets depend on any of the others."""
_NAMELESS = frozenset({"emit", "require", "import"})


def all_errors(
    source: Source, errors: Sequence[Diagnostic], folder: Path, catalog: Catalog
) -> Sequence[Diagnostic]:
    """The syntax errors of a recipe and its other mistakes, in source order."""
    if len(source.text) > LONGEST:
        return errors
    recipe, _ = parse_partial(source)
    findings = Findings()
    try:
        survey(recipe, folder, catalog, findings)
        findings.raise_errors()
    except LottoError as error:
        return both(source, recipe, errors, error.diagnostics)
    return errors


def both(
    source: Source,
    recipe: syntax.Recipe,
    errors: Sequence[Diagnostic],
    found: Iterable[Diagnostic],
) -> list[Diagnostic]:
    """The syntax errors and, of what was found in the readable parts, all that is no echo."""
    others = _independent(source, recipe, errors, found)
    return sorted([*errors, *others], key=lambda d: d.labels[0].span.start if d.labels else -1)


def _independent(
    source: Source,
    recipe: syntax.Recipe,
    errors: Sequence[Diagnostic],
    found: Iterable[Diagnostic],
) -> list[Diagnostic]:
    broken = broken_parts(source, errors)
    lost = [word for begin, end in broken for word in _declarations(source, begin, end)]
    sound = [i for i in recipe.items if not any(b <= i.span.start < e for b, e in broken)]
    if any(kind not in _LEAVES for kind, _ in lost):
        sound = [item for item in sound if _kind(item) not in _LEAVES - {"param"}]
    names = {name for kind, name in lost if kind not in _NAMELESS}
    if not all(name.isidentifier() for name in names):
        return []  # what lost its name may be named anywhere
    spans = [item.span for item in _untouched(sound, names)]
    return [
        diagnostic
        for diagnostic in found
        if diagnostic.severity == "error"
        and diagnostic.labels
        and any(s.start <= diagnostic.labels[0].span.start < s.end for s in spans)
        and diagnostic.labels[0].span.source is source
    ]


def _declarations(source: Source, begin: int, end: int) -> Iterable[tuple[str, str]]:
    """The kind and name of each item that seems to begin in a part; its first words at least."""
    words = [token for token in tokens(source.text, begin, end) if token.kind != "comment"]
    known = {*BLOCK_KINDS, *STATEMENTS}
    for number, word in enumerate(words):
        if number == 0 or (word.text in known and not _text(words, number + 1).startswith("=")):
            yield word.text, _text(words, number + 1)


def _text(words: Sequence[Token], number: int) -> str:
    return words[number].text if number < len(words) else ""


def _kind(item: syntax.Item) -> str:
    if isinstance(item, syntax.Block):
        return item.kind
    return {syntax.Param: "param", syntax.MaskDefinition: "mask"}.get(type(item), "require")


def _untouched(items: list[syntax.Item], names: set[str]) -> list[syntax.Item]:
    """The items that name none of some names, nor any item that does."""
    while True:
        touched = [item for item in items if names & _named(item)]
        if not touched:
            return items
        items = [item for item in items if item not in touched]
        names = {item.name for item in touched if _declares(item)}


def _declares(item: syntax.Item) -> TypeGuard[_Declared]:
    return isinstance(item, _Declared) and _kind(item) != "emit"


def _named(item: syntax.Item) -> set[str]:
    return {node.value for node, _ in syntax.walk(item) if isinstance(node, syntax.Name)}
