"""What a recipe's text tells before it is parsed: comments, where items begin, how deep it nests.

A mistake in one item must not hide a mistake in the next, so a recipe that does not parse is cut
where an item visibly begins, and each piece is judged alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lottoc.diagnostics import Source, Span

BLOCK_KINDS = (
    "model",
    "data",
    "training",
    "ticket",
    "stability",
    "sanity",
    "split",
    "rank",
    "search",
    "emit",
)
STATEMENTS = ("param", "mask", "require", "import")

MAX_DEPTH = 200
"""How deep values may nest, so that every later stage may recurse over the tree."""

_WORD = r"[A-Za-z_][A-Za-z0-9_]*"
_GAP = r"[ \t]"
_KINDS = "|".join(BLOCK_KINDS)
_STATEMENTS = "|".join(STATEMENTS)

_PIECE = re.compile(
    rf"""
      (?P<string>"(?:[^"\\\n]|\\[^\n])*"?)
    | (?P<comment>\#[^\r\n]*)
    | (?P<head>(?<![^\n])(?P<indent>{_GAP}*)
        (?:(?:{_KINDS})\b(?:{_GAP}+{_WORD})?\s*\{{
          |(?:{_KINDS})\b(?:{_GAP}+{_WORD})?{_GAP}*"[^"\n]*"{_GAP}*\{{
          |(?:{_STATEMENTS}){_GAP}+["\w(~[-]))
    | (?P<unknown>(?<![^\n]){_GAP}*{_WORD}{_GAP}+{_WORD}{_GAP}*(?:"[^"\n]*"{_GAP}*)?\{{)
    | (?P<bracket>[(\[)\]])
    | (?P<brace>[{{}}])
    """,
    re.VERBOSE,
)


@dataclass
class Scan:
    """The findings of one pass over a text, as offsets and spans."""

    comments: list[Span] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    """Where lines begin that open an item."""
    too_deep: int | None = None
    """The first bracket beyond `MAX_DEPTH`."""


def scan(source: Source) -> Scan:
    """Read a text of any content, however broken, in time linear in its length."""
    found = Scan()
    braces = brackets = indent = offset = 0
    while match := _PIECE.search(source.text, offset):
        kind, start, offset = match.lastgroup, match.start(), match.end()
        if kind == "comment":
            found.comments.append(Span(source, start, offset))
        elif kind == "brace":
            braces, brackets = max(0, braces + (1 if match[0] == "{" else -1)), 0
        elif kind == "bracket":
            brackets = max(0, brackets + (1 if match[0] in "([" else -1))
            if brackets > MAX_DEPTH and found.too_deep is None:
                found.too_deep = start
        elif kind in ("head", "unknown"):
            offset -= 1  # its last character is read again: it may be a brace or a bracket
            inner = len(match["indent"] or "")
            # A lost "}" must cost one block only, yet a block nested by mistake begins no item.
            if braces == 0 or (kind == "head" and inner <= indent):
                found.items.append(start)
                braces, brackets, indent = 0, 0, inner
    return found
