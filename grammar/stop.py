"""Where a parse stopped, as plain data: what was read, what came next, what could have come."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from lottoc.diagnostics import Diagnostic, Label, Source, Span
from lottoc.grammar.scan import BLOCK_KINDS, STATEMENTS
from lottoc.grammar.words import COMPARISONS, ITEM_STARTS, VALUE_STARTS, wanted

CHARACTER = "CHARACTER"
"""The type of a word that begins with a character no terminal begins with."""
END = "$END"

_CLOSERS = {"LBRACE": "RBRACE", "LPAR": "RPAR", "LSQB": "RSQB"}


def shorten(text: str) -> str:
    """A text as a message quotes it: at most 40 characters."""
    return text if len(text) <= 40 else text[:39] + "…"


@dataclass(frozen=True)
class Word:
    """A token: the name of its terminal, its text (shortened if long) and its place."""

    type: str
    text: str
    span: Span


@dataclass(frozen=True)
class Stop:
    """A parse that read `words` and could not go on with `found`."""

    source: Source
    words: tuple[Word, ...]
    found: Word
    expected: frozenset[str]
    """The terminals that could have followed, never empty."""
    lone_value: bool
    """Whether a value was read rather than a recipe."""

    def last(self, back: int = 1) -> Word:
        """The word read `back` words ago; one of type "" before the first."""
        if back <= len(self.words):
            return self.words[-back]
        return Word("", "", Span(self.source, 0, 0))

    @cached_property
    def openers(self) -> list[int]:
        """The indices in `words` of the brackets still open, innermost last."""
        still_open: list[int] = []
        for index, word in enumerate(self.words):
            if word.type in _CLOSERS:
                still_open.append(index)
            elif word.type in _CLOSERS.values():
                still_open.pop()
        return still_open

    @property
    def opener(self) -> Word:
        """The innermost bracket still open; a word of type "" outside all brackets."""
        still_open = self.openers
        return self.words[still_open[-1]] if still_open else self.last(len(self.words) + 1)

    @property
    def block_head(self) -> str:
        """The kind and name of the block whose brace is the innermost one open."""
        brace = self.openers[-1]
        first = brace - (3 if self.words[brace - 1].type == "STRING" else 2)
        return " ".join(word.text for word in self.words[first : first + 2])

    def upcoming(self, offset: int) -> str:
        """The next character that is no space, from an offset on; empty at the end."""
        match = re.compile(r"\S").search(self.source.text, offset)
        return match[0] if match else ""

    def word_after(self, word: Word) -> str:
        """The plain word or string that follows, for an example in a help line."""
        match = re.compile(r'\s*("[^"\n]{0,30}"|[\w.%]{1,30})').match(
            self.source.text, word.span.end
        )
        return match[1] if match else "value"

    def begins_line(self, word: Word) -> bool:
        """Whether only spaces stand before a word in its line."""
        line, column = self.source.position(word.span.start)
        return not self.source.line(line)[: column - 1].strip()

    @property
    def found_text(self) -> str:
        """What was found, as a message names it."""
        if self.found.type == END and not self.found.text:
            return f"the end of the {'value' if self.lone_value else 'recipe'}"
        return f"`{self.found.text}`"


def explain(
    code: str, message: str, place: Label | Span, *more: Label, help: str | tuple[str, ...] = ()
) -> Diagnostic:
    """A syntax error at a place, with further places and lines of help."""
    first = place if isinstance(place, Label) else Label(place)
    return Diagnostic(code, message, (first, *more), (help,) if isinstance(help, str) else help)


ITEMS_HELP = f"an item begins with one of: {', '.join(BLOCK_KINDS + STATEMENTS)}"

_HELP_BY_EXPECTED = (
    (VALUE_STARTS, 'values look like  linear, "fc3", 95%, 2:4, 100 steps, imp(rounds = 3)'),
    (COMPARISONS, "write  require a.accuracy >= 90%"),
    (ITEM_STARTS, ITEMS_HELP),
    ({"RBRACE", "NAME"}, "the entries of a block are  key = value"),
    ({"NAME"}, "after a point stands a name, as in  winning.mask"),
    ({"RPAR"}, "separate with commas, or close the bracket opened by `(`"),
    ({"RSQB"}, "separate with commas, or close the bracket opened by `[`"),
    ({"$END"}, 'write one value; a text with other signs needs quotes: "a b"'),
)


def unexpected(stop: Stop) -> Diagnostic:
    """What was expected and what was found, when nothing better can be said."""
    after_value = stop.opener.type == "LBRACE" and stop.last().type != "DOT"
    phrase = wanted(stop.expected, in_block=after_value and "_EQUALS" not in stop.expected)
    if stop.lone_value:
        phrase = phrase.replace("the end", "the end of the value")
    message = f"expected {phrase}, found {stop.found_text}"
    opened = stop.opener if stop.opener.type in ("LPAR", "LSQB") else None
    more = (Label(opened.span, "opened here"),) if opened else ()
    help = next((text for needs, text in _HELP_BY_EXPECTED if stop.expected >= needs), "")
    return explain("unexpected-token", message, stop.found.span, *more, help=help or ())
