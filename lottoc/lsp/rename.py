"""Renaming things, where it changes nothing else: the new names must mean what the old ones did."""

from __future__ import annotations

import re

from lottoc.diagnostics import Source, Span
from lottoc.grammar.recover import parse_partial
from lottoc.lsp.analysis import Analysis
from lottoc.lsp.names import Names, names

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class RenameRefused(Exception):
    """Why a name cannot be changed; the text is for the person who asked."""


def renamable(analysis: Analysis, offset: int) -> Span:
    """The word at an offset that can be renamed. Raises `RenameRefused`."""
    return _meant(analysis, offset)[1]


def rename(analysis: Analysis, offset: int, new: str) -> list[Span]:
    """The places where the name at an offset must be written anew. Raises `RenameRefused`."""
    old, _ = _meant(analysis, offset)
    if not _NAME.fullmatch(new):
        raise RenameRefused(f'"{new}" is not a name: names are made of letters, digits and _')
    if new == old:
        return []
    taken = analysis.names.definitions.get(new)
    if new == "dense":
        raise RenameRefused('"dense" is taken: it is the unpruned model')
    if taken:
        line = analysis.source.position(taken.span.start)[0]
        raise RenameRefused(f'"{new}" is taken: it is the {taken.kind} of line {line}')
    spans = analysis.names.places(old)
    after, moved = _after(analysis.source, spans, new)
    if not _same(analysis.names, after, old, new, moved):
        raise RenameRefused(f'"{new}" would come to mean something else somewhere in the recipe')
    return spans


def _meant(analysis: Analysis, offset: int) -> tuple[str, Span]:
    if not analysis.well_formed:
        raise RenameRefused("the recipe has errors of form: correct them first")
    found = analysis.names.at(offset)
    if found is None:
        word = re.compile(r"\bdense\b").search(analysis.source.text, max(0, offset - 5), offset + 5)
        if word and word.start() <= offset <= word.end():
            raise RenameRefused('"dense" is the unpruned model: it cannot be renamed')
        raise RenameRefused("this is not the name of a ticket, model, data set, training or param")
    definition, span = found
    if definition.name in analysis.names.repeated:
        raise RenameRefused(
            f'two things are called "{definition.name}": rename one of them by hand'
        )
    return definition.name, span


def _after(source: Source, spans: list[Span], new: str) -> tuple[Names | None, dict[int, int]]:
    """The names of the recipe after renaming, and where each renamed place has moved to."""
    parts, moved, at = list[str](), dict[int, int](), 0
    length = 0
    for span in spans:
        between = source.text[at : span.start]
        length += len(between)
        moved[span.start] = length
        parts += [between, new]
        length += len(new)
        at = span.end
    recipe, errors = parse_partial(Source(source.name, "".join([*parts, source.text[at:]])))
    return (None if errors else names(recipe)), moved


def _same(before: Names, after: Names | None, old: str, new: str, moved: dict[int, int]) -> bool:
    """Whether each word means the same as before, under the new name."""
    if after is None or new not in after.definitions or old in after.definitions:
        return False
    if len(after.uses) != len(before.uses):
        return False
    return [span.start for span in after.places(new)] == sorted(moved.values())
