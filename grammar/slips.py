"""Errors of habit: characters and signs that other languages use."""

from __future__ import annotations

import re

from lottoc.diagnostics import Diagnostic, Span
from lottoc.grammar.stop import CHARACTER, Stop, explain, shorten
from lottoc.grammar.words import VALUE_STARTS

_NUMBER_LIKE = re.compile(r"[\w.:%]+((?<=[eE])[+-]\w+)?")
_CLOSED_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')

_USE_INSTEAD = {
    "'": 'strings take double quotes: "fc3"',
    "“": 'strings take straight double quotes: "fc3"',
    "”": 'strings take straight double quotes: "fc3"',
    "‘": 'strings take straight double quotes: "fc3"',
    "’": 'strings take straight double quotes: "fc3"',
    "`": 'strings take double quotes: "fc3"',
    ";": "remove it: a space or a new line separates entries",
    "!": "write  ~mask  for the opposite of a mask, and  !=  to compare",
    "%": "write the percent sign right after the number: 95%",
    "≥": "write  >=",
    "≤": "write  <=",
    "≠": "write  !=",
    "−": "write the minus sign of the keyboard: -",
    "–": "write the minus sign of the keyboard: -",
    "—": "write the minus sign of the keyboard: -",
    "×": "write  *",
    "∩": "write  &",
    "∪": "write  |",
    "\u00a0": "replace the no-break space by a plain one",
    "\ufeff": "a byte order mark may only begin a file: remove it",
}

_DOUBLED = {
    "//": ("comments begin with #", "unexpected `//`"),
    "/*": ("comments begin with # and end with their line", "unexpected `/*`"),
    "=>": ("write  key = value  to set a key, or  >=  to compare", "unexpected `=>`"),
    "&&": ("write  &", "unexpected `&&`"),
    "||": ("write  |", "unexpected `||`"),
    "**": ("powers are not part of the language; write the product", "unexpected `**`"),
    "..": ("write a range without spaces: 0..4", "unexpected `..`"),
    "++": ("write  +", "unexpected `++`"),
}


def doubled_sign(stop: Stop) -> Diagnostic | None:
    """A sign of two characters that is none here, such as `//` or `&&`."""
    at = stop.found.span.start
    for start in (at - 1, at):
        sign = stop.source.text[max(start, 0) : start + 2]
        if sign in _DOUBLED:
            help, message = _DOUBLED[sign]
            span = Span(stop.source, start, start + 2)
            return explain("unexpected-token", message, span, help=help)
    return None


def unreadable(stop: Stop) -> Diagnostic | None:
    """A character with which no word begins."""
    character = stop.found.text
    if character == "." and stop.expected >= VALUE_STARTS and _run(stop) != ".":
        return _bad_number(stop)
    if stop.found.type != CHARACTER:
        return None
    if character == '"':
        return _bad_text(stop)
    if character.isascii() and character.isdigit():
        return _bad_number(stop)
    if character == ":" and "_EQUALS" in stop.expected:
        key = stop.last().text
        message = f"expected `=` after `{key}`, found `:`"
        return explain(
            "missing-equals",
            message,
            stop.found.span,
            help=f"write  {key} = {stop.word_after(stop.found)}",
        )
    if character == ":" and stop.last().type == "NUMBER":
        return _bad_character(stop, help="write a pattern without spaces: 2:4")
    return _bad_character(stop)


def _bad_text(stop: Stop) -> Diagnostic:
    """A quote that no well-formed text begins with."""
    start = stop.found.span.start
    line = re.match(r"[^\r\n]*", stop.source.text[start:])
    written = line[0] if line else ""
    closed = _CLOSED_TEXT.match(written)
    if closed:
        inside = next(i for i, c in enumerate(closed[0]) if (c < " " and c != "\t") or c == "\x7f")
        return _bad_character(stop, start + inside)
    return explain(
        "unterminated-string",
        "the string is never closed",
        Span(stop.source, start, start + len(written.rstrip())),
        help='end it with " on the same line; write \\" for a quote inside a string',
    )


def _run(stop: Stop) -> str:
    """The letters, digits and points from where the parse stopped."""
    match = _NUMBER_LIKE.match(stop.source.text, stop.found.span.start)
    return match[0] if match else stop.found.text


def _bad_number(stop: Stop) -> Diagnostic:
    written = _run(stop)
    start = stop.found.span.start
    span = Span(stop.source, start, start + len(written))
    if "NAME" in stop.expected and not stop.expected >= VALUE_STARTS:
        help = "a name begins with a letter or _"
        return explain("bad-name", f"`{shorten(written)}` is not a name", span, help=help)
    message = f"`{shorten(written)}` is not a number"
    return explain("bad-number", message, span, help=_number_help(shorten(written)))


def _number_help(written: str) -> str:
    glued = re.fullmatch(r"([0-9.]+)([A-Za-z]+)", written)
    if glued and glued[2] in ("step", "steps", "epoch", "epochs"):
        return f"put a space before the unit: {glued[1]} {glued[2]}"
    if written.startswith("."):
        return f"write a digit before the point: 0{written}"
    if written.endswith("."):
        return f"write a digit after the point: {written}0"
    if "_" in written:
        return f"write the digits without _: {written.replace('_', '')}"
    return "numbers look like  60, 0.1, 1e-4, 95%, 2:4, 0..4"


def _bad_character(stop: Stop, at: int | None = None, help: str = "") -> Diagnostic:
    start = stop.found.span.start if at is None else at
    character = stop.source.text[start]
    span = Span(stop.source, start, start + 1)
    help = help or _USE_INSTEAD.get(character, "put other signs in quotes, or remove this one")
    if character.isprintable() and character != "\ufffd":
        shown = f"`{character}`"
        if character.isalpha():
            help = "names are made of the letters a-z, digits and _; put other letters in quotes"
    else:
        shown = f"U+{ord(character):04X}"
        help = _USE_INSTEAD.get(character, "a recipe is plain UTF-8 text; is this the right file?")
    message = f"unexpected character {shown}"
    return explain("unexpected-character", message, span, help=help or ())
