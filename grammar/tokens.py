"""The words of a text, however broken: what an editor sees while a recipe is being typed.

The grammar reads well-formed recipes; these words need no parser and are never refused. Every
character that is no space belongs to one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

TokenKind = Literal["comment", "string", "name", "number", "sign"]

_TOKEN = re.compile(
    r"""
      (?P<comment>\#[^\r\n]*)
    | (?P<string>"(?:[^"\\\r\n]|\\[^\r\n])*"?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<number>[0-9](?:[\w.:%]|(?<=[eE])[+-])*)
    | (?P<sign>[=!<>]=|[^\s])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    """A word and where it stands; a string may lack its closing quote."""

    kind: TokenKind
    text: str
    start: int

    @property
    def end(self) -> int:
        """The offset behind its last character."""
        return self.start + len(self.text)

    @property
    def closed(self) -> bool:
        """Whether a string has its closing quote."""
        return re.fullmatch(r'"(?:[^"\\]|\\.)*"', self.text) is not None


def tokens(text: str, begin: int = 0, end: int | None = None) -> Iterator[Token]:
    """The words of a part of a text, comments included, in linear time."""
    for match in _TOKEN.finditer(text, begin, len(text) if end is None else end):
        yield Token(cast(TokenKind, match.lastgroup), match[0], match.start())
