"""Diagnostics as SARIF 2.1.0, the format that code hosts and editors read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lottoc import __version__
from lottoc.diagnostics import Diagnostic, Label, Span
from lottoc.explain import explanations

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def to_sarif(diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    """A log of one run; lines and columns are 1-based, columns count Unicode characters."""
    codes = sorted({diagnostic.code for diagnostic in diagnostics})
    driver = {
        "name": "lottoc",
        "version": __version__,
        "rules": [_rule(code) for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(diagnostic, codes) for diagnostic in diagnostics],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str) -> dict[str, Any]:
    known = explanations().get(code)
    if known is None:
        return {"id": code}
    return {
        "id": code,
        "shortDescription": {"text": known.meaning},
        "help": {"text": known.render()},
        "defaultConfiguration": {"level": known.severity},
    }


def _result(diagnostic: Diagnostic, codes: Sequence[str]) -> dict[str, Any]:
    help = "".join(f"\nhelp: {line}" for line in diagnostic.help)
    first, *others = diagnostic.labels or (None,)
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": codes.index(diagnostic.code),
        "level": diagnostic.severity,
        "message": {"text": diagnostic.message + help},
    }
    if first is not None:
        result["locations"] = [_location(first.span)]
    elif diagnostic.file is not None:
        result["locations"] = [{"physicalLocation": {"artifactLocation": _file(diagnostic.file)}}]
    related = [_related(number, label) for number, label in enumerate(others, 1) if label]
    if related:
        result["relatedLocations"] = related
    return result


def _related(number: int, label: Label) -> dict[str, Any]:
    return {"id": number, **_location(label.span), "message": {"text": label.message or "here"}}


def _location(span: Span) -> dict[str, Any]:
    line, column = span.source.position(span.start)
    end_line, end_column = span.source.position(span.end)
    region = {
        "startLine": line,
        "startColumn": column,
        "endLine": end_line,
        "endColumn": end_column,
    }
    place = {"artifactLocation": _file(span.source.name), "region": region}
    return {"physicalLocation": place}


def _file(name: str) -> dict[str, str]:
    """Relative to the working directory where the file lies below it."""
    path = Path(name)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return {"uri": path.as_uri() if path.is_absolute() else path.as_posix()}
