"""Help lines that carry their cure, as edits that a program can make."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lottoc.diagnostics import Diagnostic, Source, Span
from lottoc.grammar import syntax

_MEANT = re.compile(r'did you mean (?:"([^"]+)"|(\S+))\?')
_QUOTED = re.compile(r'"([^"]+)"|`([^`]+)`')
_WRITE = re.compile(r"(?:write|with|add)  (?:(\w+) = )?(\S.*)")


@dataclass(frozen=True)
class Text:
    """A recipe as it is written, and as far as it can be read."""

    source: Source
    recipe: syntax.Recipe


@dataclass(frozen=True)
class Fix:
    """Replace the characters from `start` up to `end`; `sure` if nothing else could be meant."""

    title: str
    start: int
    end: int
    text: str
    sure: bool = False


def fixes(source: Source, recipe: syntax.Recipe, diagnostic: Diagnostic) -> Iterator[Fix]:
    """The edits of `source` that a diagnostic's help lines tell a person to make."""
    if not diagnostic.labels or diagnostic.labels[0].span.source is not source:
        return
    text = Text(source, recipe)
    span = diagnostic.labels[0].span
    for line in diagnostic.help:
        for read in _READERS:
            fix = read(text, diagnostic, span, line)
            if fix:
                yield fix
                break


def _did_you_mean(_: Text, found: Diagnostic, span: Span, line: str) -> Fix | None:
    match = _MEANT.match(line)
    if match is None:
        return None
    meant = match[1] or match[2]
    wrong = _misspelt(found, span) or _without_percent(span, meant)
    return Fix(f"change to {meant}", wrong.start, wrong.end, meant, sure=True) if wrong else None


def _misspelt(found: Diagnostic, span: Span) -> Span | None:
    """The word of the message inside the place it is about; the place, if it is one word."""
    for match in reversed(list(_QUOTED.finditer(found.message))):
        word = match[1] or match[2]
        inside = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", span.text)
        if inside:
            return Span(span.source, span.start + inside.start(), span.start + inside.end())
    return span if re.fullmatch(r"[\w.%]+", span.text) else None


def _without_percent(span: Span, meant: str) -> Span | None:
    """The number inside the place that is the meant one but for its percent sign."""
    number = re.escape(meant.removesuffix("%"))
    inside = list(re.finditer(rf"(?<![\w.]){number}(?![\w.%])", span.text))
    if not meant.endswith("%") or len(inside) != 1:
        return None
    return Span(span.source, span.start + inside[0].start(), span.start + inside[0].end())


def _write_equals(_: Text, found: Diagnostic, span: Span, line: str) -> Fix | None:
    if found.code != "missing-equals" or not line.startswith("write  "):
        return None
    if span.text == ":":
        return Fix("write =", span.start, span.end, "=", sure=True)
    if f"= {span.text}" in line:
        return Fix("put = between them", span.start, span.start, "= ", sure=True)
    return None


def _write_text(_: Text, found: Diagnostic, span: Span, line: str) -> Fix | None:
    if line != f'write "{span.text}"':
        return None
    return Fix("put it in quotes", span.start, span.end, f'"{span.text}"', sure=True)


def _write_number(_: Text, found: Diagnostic, span: Span, line: str) -> Fix | None:
    text = line.rpartition(": ")[2]
    if found.code != "bad-number" or not re.match(r"(put|write) .*: \S+( \w+)?$", line):
        return None
    return Fix(f"change to {text}", span.start, span.end, text, sure=True)


def _other_layers(_: Text, found: Diagnostic, span: Span, line: str) -> Fix | None:
    match = _WRITE.search(line)
    if (
        found.code not in ("nm-axis", "block-axis")
        or match is None
        or match[1] != "layers"
        or "…" in line
    ):
        return None
    return Fix(f"leave it dense: {match[2]}", span.start, span.end, match[2])


def _add_key(text: Text, found: Diagnostic, span: Span, line: str) -> Fix | None:
    match = re.fullmatch(r"add  (\w+ = [^…,]+)(?:,.*)?", line)
    if found.code != "missing-key" or match is None:
        return None
    brace = text.source.text.find("{", span.end)
    if brace < 0:
        return None
    new_line = "\n" in text.source.text[brace : text.source.text.find("}", brace)]
    before = "\n  " if new_line else " "
    return Fix(f"add {match[1]}", brace + 1, brace + 1, before + match[1])


def _remove_key(text: Text, found: Diagnostic, span: Span, line: str) -> Fix | None:
    if found.code not in ("unused-key", "redundant-amount"):
        return None
    for item in text.recipe.items:
        for entry in item.entries if isinstance(item, syntax.Block) else ():
            if entry.key_span.start == span.start:
                end = entry.span.end
                gap = re.compile(r"[ \t]*").match(text.source.text, end)
                return Fix(f"remove {entry.key}", span.start, gap.end() if gap else end, "")
    return None


_READERS: tuple[Callable[[Text, Diagnostic, Span, str], Fix | None], ...] = (
    _did_you_mean,
    _write_equals,
    _write_text,
    _write_number,
    _other_layers,
    _add_key,
    _remove_key,
)
