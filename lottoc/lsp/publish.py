"""Diagnostics in the protocol's terms."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from lsprotocol import types

from lottoc.diagnostics import Diagnostic, Label
from lottoc.lsp.analysis import Analysis
from lottoc.lsp.text import Text

_SEVERITIES = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
    "note": types.DiagnosticSeverity.Information,
}
_FADED = frozenset({"unused-param", "unused-key"})


def published(analysis: Analysis, diagnostic: Diagnostic, uri: str) -> types.Diagnostic:
    """A diagnostic as an editor shows it: help lines below the message, labels as its relatives."""
    labels = diagnostic.labels
    about = (f"file: {diagnostic.file}",) if diagnostic.file else ()
    lines = [diagnostic.message, *about, *(f"help: {line}" for line in diagnostic.help)]
    return types.Diagnostic(
        range=_place(analysis, labels[0], uri).range if labels else analysis.text.range(0, 0),
        message="\n".join(lines),
        severity=_SEVERITIES[diagnostic.severity],
        code=diagnostic.code,
        code_description=_description(diagnostic.code),
        source="lottoc",
        tags=[types.DiagnosticTag.Unnecessary] if diagnostic.code in _FADED else None,
        related_information=[
            types.DiagnosticRelatedInformation(_place(analysis, label, uri), label.message)
            for label in labels
            if label.message
        ],
    )


def _place(analysis: Analysis, label: Label, uri: str) -> types.Location:
    span = label.span
    if span.source is analysis.source:
        return types.Location(uri, analysis.text.range(span.start, span.end))
    text = Text(span.source.text, analysis.text.width)
    return types.Location(
        Path(span.source.name).absolute().as_uri(), text.range(span.start, span.end)
    )


def _description(code: str) -> types.CodeDescription | None:
    """The page that explains a code, where this installation has one."""
    page = _explained()
    return types.CodeDescription(f"{page[0]}#{code}") if page and code in page[1] else None


@cache
def _explained() -> tuple[str, frozenset[str]] | None:
    """The address of the page of diagnostics, and the codes that have a heading in it."""
    path = Path(str(files("lottoc") / "specs" / "diagnostics.md"))
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    heads = (line.lstrip("#").strip(" `") for line in lines if line.startswith("#"))
    return path.resolve().as_uri(), frozenset(heads)
