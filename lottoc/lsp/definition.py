"""Where a name is defined: in the recipe, or in the Python file that a model comes from."""

from __future__ import annotations

import re
from pathlib import Path

from lsprotocol.types import Location, Position, Range

from lottoc.grammar import syntax
from lottoc.lsp.analysis import Analysis
from lottoc.lsp.places import place

_LONGEST = 10_000_000
"""Bytes of a Python file beyond which no function is looked for in it."""


def definition(analysis: Analysis, offset: int, uri: str) -> Location | None:
    """The place an offset leads to."""
    named = analysis.names.at(offset)
    if named:
        span = named[0].span
        return Location(uri, analysis.text.range(span.start, span.end))
    here = place(analysis.recipe, offset)
    if here is None or here.key != "source" or not here.values:
        return None
    inner = here.values[-1]
    return _function(analysis.folder, inner.value) if isinstance(inner, syntax.String) else None


def _function(folder: Path, source: str) -> Location | None:
    """The line that defines the function of `file.py:function`; nothing is run."""
    file, colon, function = source.rpartition(":")
    path = (folder / file).absolute()
    try:
        if not colon or path.stat().st_size > _LONGEST:
            return None
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    match = re.search(rf"^(?:def|class)[ \t]+({re.escape(function)})\b|\Z", text, re.MULTILINE)
    at = match.start() if match and match[1] else 0
    line = text.count("\n", 0, at)
    return Location(path.as_uri(), Range(Position(line, 0), Position(line, 0)))
