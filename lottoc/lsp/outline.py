"""The outline of a recipe, and what of it can be folded away."""

from __future__ import annotations

from collections.abc import Iterator

from lsprotocol.types import (
    DocumentSymbol,
    FoldingRange,
    FoldingRangeKind,
    SymbolKind,
)

from lottoc.diagnostics import Span
from lottoc.grammar import syntax
from lottoc.lsp.analysis import Analysis

_KINDS = {
    "model": SymbolKind.Module,
    "data": SymbolKind.Array,
    "training": SymbolKind.Event,
    "ticket": SymbolKind.Class,
    "emit": SymbolKind.File,
}


def outline(analysis: Analysis) -> list[DocumentSymbol]:
    """One symbol an item, with the keys of a block beneath it."""

    def symbol(name: str, detail: str, kind: SymbolKind, span: Span, own: Span) -> DocumentSymbol:
        text = analysis.text
        whole, word = text.range(span.start, span.end), text.range(own.start, own.end)
        return DocumentSymbol(name, kind, whole, word, detail=detail, children=[])

    symbols = []
    for item in analysis.recipe.items:
        match item:
            case syntax.Block():
                name = item.path.value if item.path else item.name
                kind = _KINDS.get(item.kind, SymbolKind.Object)
                found = symbol(name or item.name, item.kind, kind, item.span, item.name_span)
                found.children = [
                    symbol(e.key, _short(e.value.span), SymbolKind.Property, e.span, e.key_span)
                    for e in item.entries
                ]
            case syntax.Param():
                value = _short(item.value.span)
                found = symbol(item.name, value, SymbolKind.Constant, item.span, item.name_span)
            case syntax.MaskDefinition():
                value = _short(item.value.span)
                found = symbol(item.name, value, SymbolKind.Variable, item.span, item.name_span)
            case syntax.Require():
                found = symbol(
                    _short(item.span), "require", SymbolKind.Boolean, item.span, item.span
                )
            case syntax.Import():
                path = item.path.value or "import"
                found = symbol(path, "import", SymbolKind.Package, item.span, item.path.span)
        symbols.append(found)
    return symbols


def _short(span: Span) -> str:
    text = " ".join(span.text.split())
    return text if len(text) <= 60 else text[:59] + "…"


def folds(analysis: Analysis) -> list[FoldingRange]:
    """Items of several lines, and comments of several lines."""
    spans = [(item.span.start, item.span.end, None) for item in analysis.recipe.items]
    found = []
    for start, end, kind in [*spans, *_comments(analysis)]:
        first, last = analysis.text.position(start).line, analysis.text.position(end).line
        if last > first:
            found.append(FoldingRange(first, last, kind=kind))
    return found


def _comments(analysis: Analysis) -> Iterator[tuple[int, int, FoldingRangeKind]]:
    """Runs of lines that hold nothing but a comment."""
    source = analysis.source
    run: list[Span] = []
    line = -1
    for span in analysis.recipe.comments:
        number, column = source.position(span.start)
        if source.line(number)[: column - 1].strip():
            continue
        if run and number != line + 1:
            yield run[0].start, run[-1].end, FoldingRangeKind.Comment
            run = []
        run.append(span)
        line = number
    if run:
        yield run[0].start, run[-1].end, FoldingRangeKind.Comment
