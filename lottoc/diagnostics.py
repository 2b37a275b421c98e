"""What lottoc says when something is wrong: coded diagnostics, spans, carets, JSON.

A `Diagnostic` is plain data; `render` and `to_json` are the only places that turn one into text.
Errors are raised as `LottoError` subclasses, one for each exit code of `specs/language.md`.
"""

from __future__ import annotations

import bisect
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, eq=False)
class Source:
    """A recipe's text together with the name it is reported under."""

    name: str
    text: str

    @cached_property
    def line_starts(self) -> list[int]:
        """Offsets at which each line begins."""
        return [0, *(i + 1 for i, c in enumerate(self.text) if c == "\n")]

    def position(self, offset: int) -> tuple[int, int]:
        """The 1-based (line, column) of a character offset."""
        line = bisect.bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a 1-based line, without its line break."""
        start = self.line_starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : end if end >= 0 else len(self.text)].rstrip("\r")


@dataclass(frozen=True)
class Span:
    """A half-open range of characters in one source."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        """The characters the span covers."""
        return self.source.text[self.start : self.end]

    def __str__(self) -> str:
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"


@dataclass(frozen=True)
class Label:
    """A span and what to say under it; the first label of a diagnostic is its place."""

    span: Span
    message: str = ""


@dataclass(frozen=True)
class Diagnostic:
    """One finding: a stable kebab-case code, what is wrong, where, and the way out."""

    code: str
    message: str
    labels: tuple[Label, ...] = ()
    help: tuple[str, ...] = ()
    severity: Severity = "error"
    file: str | None = None
    """The place of a finding that is in no recipe, e.g. a model or data file."""


@dataclass
class LottoError(Exception):
    """One or more diagnostics that end the run with `exit_code`."""

    diagnostics: Sequence[Diagnostic]
    exit_code: ClassVar[int] = 4

    def __str__(self) -> str:
        return "\n".join(render(d) for d in self.diagnostics)


class RequirementError(LottoError):
    """A `require` does not hold."""

    exit_code = 1


class RecipeError(LottoError):
    """The recipe is wrong."""

    exit_code = 2


class InputError(LottoError):
    """A model or data file is missing, damaged or not what the recipe says."""

    exit_code = 3


def input_error(
    code: str, message: str, *, file: str | None = None, help: Iterable[str] = ()
) -> InputError:
    """An `InputError` with one diagnostic."""
    return InputError([Diagnostic(code, message, help=tuple(help), file=file)])


@dataclass
class Findings:
    """Collects the diagnostics of a stage, so that one run reports them all."""

    diagnostics: list[Diagnostic] = field(default_factory=list)
    inputs: list[Diagnostic] = field(default_factory=list)
    """Errors of files that the recipe names."""

    def absorb(self, error: InputError, span: Span) -> None:
        """Record what is wrong with a file at the place of the recipe that asks for it."""
        self.inputs += [replace(d, labels=d.labels or (Label(span),)) for d in error.diagnostics]

    def error(
        self, code: str, message: str, *labels: Label | Span, help: str | Iterable[str] = ()
    ) -> None:
        """Record an error at the given places; a bare `Span` is an unlabelled place."""
        self._add("error", code, message, labels, help)

    def warning(
        self, code: str, message: str, *labels: Label | Span, help: str | Iterable[str] = ()
    ) -> None:
        """Record a warning; it does not fail a build unless asked to."""
        self._add("warning", code, message, labels, help)

    def note(
        self, code: str, message: str, *labels: Label | Span, help: str | Iterable[str] = ()
    ) -> None:
        """Record something worth knowing."""
        self._add("note", code, message, labels, help)

    def _add(
        self,
        severity: Severity,
        code: str,
        message: str,
        labels: Sequence[Label | Span],
        help: str | Iterable[str],
    ) -> None:
        places = tuple(at if isinstance(at, Label) else Label(at) for at in labels)
        lines = (help,) if isinstance(help, str) else tuple(help)
        self.diagnostics.append(Diagnostic(code, message, places, lines, severity))

    @property
    def errors(self) -> list[Diagnostic]:
        """Only the diagnostics that fail the run."""
        return [d for d in self.diagnostics if d.severity == "error"]

    def raise_errors(self) -> None:
        """Raise every recorded error at once, in source order; do nothing if there is none."""
        found = source_order([*self.errors, *self.inputs])
        if found:
            raise RecipeError(found) if self.errors else InputError(found)


def source_order(found: Sequence[Diagnostic]) -> list[Diagnostic]:
    """File by file, and within a file from top to bottom."""
    placed = [d.labels[0].span if d.labels else None for d in found]
    files = list(dict.fromkeys(span.source for span in placed if span))

    def place(number: int) -> tuple[int, int]:
        span = placed[number]
        return (files.index(span.source), span.start) if span else (-1, -1)

    return [found[number] for number in sorted(range(len(found)), key=place)]


def did_you_mean(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """Help lines for a misspelt name: the nearest known one, else the list of all."""
    names = sorted(set(known))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return (f'did you mean "{close[0]}"?',)
    return (f"known names: {', '.join(names)}",) if names else ()


_STYLES = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "note": "\x1b[1;36m"}


_LONGEST = 200


def _visible(text: str) -> str:
    """The text with what a terminal would obey, or hide, shown as a replacement character."""
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _excerpt(text: str, column: int) -> tuple[str, int]:
    """What to show of a line around a 1-based column, and the column in what is shown."""
    if len(text) > _LONGEST:
        start = max(0, column - 1 - _LONGEST // 2)
        text, column = text[start : start + _LONGEST], column - start
    return _visible(text), column


def render(diagnostic: Diagnostic, *, color: bool = False) -> str:
    """The diagnostic as a person reads it on a terminal, without a final line break."""

    def paint(style: str, text: str) -> str:
        return f"{style}{text}\x1b[0m" if color and text else text

    bold, blue = "\x1b[1m", "\x1b[1;34m"
    tone = _STYLES[diagnostic.severity]
    head = paint(tone, f"{diagnostic.severity}[{diagnostic.code}]")
    lines = [head + paint(bold, f": {diagnostic.message}")]
    if not diagnostic.labels:
        if diagnostic.file is not None:
            lines.append(paint(blue, "  --> ") + diagnostic.file)
        return "\n".join([*lines, *(paint(blue, "  = ") + f"help: {h}" for h in diagnostic.help)])

    numbers = [label.span.source.position(label.span.start)[0] for label in diagnostic.labels]
    width = len(str(max(numbers)))
    gutter = " " * width + paint(blue, " |")
    lines.append(" " * width + paint(blue, "--> ") + str(diagnostic.labels[0].span))
    lines.append(gutter)
    order = sorted(range(len(numbers)), key=lambda i: diagnostic.labels[i].span.start)
    shown: tuple[str, int, str] | None = None
    for index in order:
        span, message = diagnostic.labels[index].span, diagnostic.labels[index].message
        number, column = span.source.position(span.start)
        text, column = _excerpt(span.source.line(number), column)
        if shown != (span.source.name, number, text):
            lines.append(paint(blue, f"{number:>{width}} | ") + text.expandtabs(4))
        shown = (span.source.name, number, text)
        before = text[: column - 1].expandtabs(4)
        covered = text[column - 1 : column - 1 + max(1, span.end - span.start)].expandtabs(4)
        mark = ("^" if index == 0 else "-") * max(1, len(covered))
        style = tone if index == 0 else blue
        lines.append(f"{gutter} {' ' * len(before)}" + paint(style, f"{mark} {message}".rstrip()))
    if diagnostic.help or diagnostic.file:
        lines.append(gutter)
    if diagnostic.file:
        lines.append(" " * width + paint(blue, " = ") + f"file: {diagnostic.file}")
    if diagnostic.help:
        lines += [" " * width + paint(blue, " = ") + f"help: {h}" for h in diagnostic.help]
    return "\n".join(lines)


def to_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """The diagnostic for machines: lines and columns are 1-based, ends exclusive."""

    def place(label: Label) -> dict[str, Any]:
        span = label.span
        line, column = span.source.position(span.start)
        end_line, end_column = span.source.position(span.end)
        return {
            "file": span.source.name,
            "line": line,
            "column": column,
            "end_line": end_line,
            "end_column": end_column,
            "message": label.message,
        }

    return {
        "severity": diagnostic.severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "file": diagnostic.file,
        "labels": [place(label) for label in diagnostic.labels],
        "help": list(diagnostic.help),
    }
