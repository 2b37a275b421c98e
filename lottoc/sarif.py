"""Diagnostics as SARIF 2.1.0 (OASIS, 2020), the format that code hosts and editors read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lottoc import __version__
from lottoc.diagnostics import Diagnostic, Label, Source, Span
from lottoc.explain import explanations
from lottoc.fixes import Fix, fixes
from lottoc.grammar import syntax

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
        "help": {"text": known.render(), "markdown": known.text.strip()},
        "defaultConfiguration": {"level": known.severity},
    }


def _result(diagnostic: Diagnostic, codes: Sequence[str]) -> dict[str, Any]:
    more = [f"file: {diagnostic.file}"] if diagnostic.file is not None else []
    more += [f"help: {line}" for line in diagnostic.help]
    return {
        "ruleId": diagnostic.code,
        "ruleIndex": codes.index(diagnostic.code),
        "level": diagnostic.severity,
        "message": {"text": "\n".join([diagnostic.message, *more])},
        **_places(diagnostic),
        **_fixes(diagnostic),
    }


def _places(diagnostic: Diagnostic) -> dict[str, Any]:
    places = [_location(label) for label in diagnostic.labels if _in_a_file(label)]
    if not places and diagnostic.file is not None:
        places = [{"physicalLocation": {"artifactLocation": _file(diagnostic.file)}}]
    related = [{"id": number, **place} for number, place in enumerate(places[1:], 1)]
    told = {"locations": places[:1], "relatedLocations": related}
    return {name: listed for name, listed in told.items() if listed}


def _fixes(diagnostic: Diagnostic) -> dict[str, Any]:
    if not diagnostic.help or not any(map(_in_a_file, diagnostic.labels[:1])):
        return {}
    source = diagnostic.labels[0].span.source
    found = [_fix(source, fix) for fix in fixes(source, _recipe(source), diagnostic)]
    return {"fixes": found} if found else {}


def _in_a_file(label: Label) -> bool:
    """Not so for a value that was given on the command line, by `-D`."""
    return not label.span.source.name.startswith("-")


@cache
def _recipe(source: Source) -> syntax.Recipe:
    from lottoc.grammar.recover import parse_partial

    return parse_partial(source)[0]


def _fix(source: Source, fix: Fix) -> dict[str, Any]:
    replacement = {
        "deletedRegion": _region(Span(source, fix.start, fix.end)),
        "insertedContent": {"text": fix.text},
    }
    change = {"artifactLocation": _file(source.name), "replacements": [replacement]}
    return {"description": {"text": fix.title}, "artifactChanges": [change]}


def _location(label: Label) -> dict[str, Any]:
    file, region = _file(label.span.source.name), _region(label.span)
    place = {"physicalLocation": {"artifactLocation": file, "region": region}}
    return {**place, "message": {"text": label.message}} if label.message else place


def _region(span: Span) -> dict[str, int]:
    line, column = span.source.position(span.start)
    end_line, end_column = span.source.position(span.end)
    return {
        "startLine": line,
        "startColumn": column,
        "endLine": end_line,
        "endColumn": end_column,
    }


def _file(name: str) -> dict[str, str]:
    """Relative to the working directory where the file lies below it."""
    path = Path(name)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return {"uri": path.as_uri() if path.is_absolute() else quote(path.as_posix())}
