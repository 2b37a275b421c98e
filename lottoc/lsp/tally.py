"""How many weights a ticket will keep, as far as the rules fix it before any weight is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from lottoc.lower.program import (
    MaskExpression,
    MaskNot,
    MaskOf,
    MaskShuffle,
    Program,
    Selection,
)
from lottoc.masks.allocate import pruned_count


@dataclass(frozen=True)
class Row:
    """A layer's weights, and how many of them stay if that does not hang on their values."""

    layer: str
    shape: tuple[int, ...]
    kept: int | None

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Tally:
    """A ticket's selected layers and what is kept of them all."""

    rows: tuple[Row, ...]
    kept: int | None

    @property
    def size(self) -> int:
        """Number of selected weights."""
        return sum(row.size for row in self.rows)


def tally(program: Program, ticket: str) -> Tally | None:
    """The counts of a ticket; None where its layers are not known or its mask is not settled."""
    found = program.tickets.get(ticket)
    if found is None:
        return None
    if found.found is not None:
        return _selected(found.found)
    return _given(program, found.mask, {ticket}) if found.mask else None


def _selected(selection: Selection) -> Tally | None:
    shapes = [layer.shape for layer in selection.layers]
    if not shapes:
        return None
    sizes = [math.prod(shape) for shape in shapes]
    pattern = selection.pattern
    kept: int | None
    each: list[int] | list[None]
    if selection.scope == "global" and pattern.ranks_together:
        total = sum(sizes)
        kept = pattern.total(shapes, total - pruned_count(total, 1 - selection.density))
        each = [None] * len(shapes)
    else:
        each = pattern.counts(selection.scope, shapes, selection.density)
        kept = sum(each)
    rows = zip(selection.layers, each, strict=True)
    return Tally(tuple(Row(x.name, x.shape, count) for x, count in rows), kept)


def _given(program: Program, mask: MaskExpression, seen: set[str]) -> Tally | None:
    match mask:
        case MaskOf(ticket=name):
            inner = program.tickets.get(name)
            if inner is None or name in seen:
                return None
            if inner.found is not None:
                return _selected(inner.found)
            return _given(program, inner.mask, seen | {name}) if inner.mask else None
        case MaskShuffle(of=of):
            return _given(program, of, seen)
        case MaskNot(of=of):
            found = _given(program, of, seen)
            return _opposite(found) if found else None
    return None


def _opposite(found: Tally) -> Tally:
    rows = tuple(
        replace(row, kept=None if row.kept is None else row.size - row.kept) for row in found.rows
    )
    return Tally(rows, None if found.kept is None else found.size - found.kept)
