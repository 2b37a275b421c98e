"""A recipe as a string of word kinds, for work that must be faster than a parse.

`kinds` has one character a lexeme, so that structure can be read, counted and compared without
looking at texts. Line breaks and comments are lexemes too; other white space is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

BREAK, COMMENT, END, JUNK = " ", "#", "$", "!"
NAME, UNIT, NUMBER, LITERAL, STRING = "n", "u", "d", "l", "s"
OPERATOR, ORDER, EQUALITY = "o", "<", "?"

_LEXEME = re.compile(
    r"""
    [ \t]*
    ( [A-Za-z_][A-Za-z0-9_]*
    | \n[ \t\n]*
    | [=!<>]=
    | [{}()\[\],.=|^&+*/~<>-]
    | "(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x1f\x7f])*"?
    | [0-9](?:[A-Za-z0-9_.:%]|(?<=[eE])[+-])*
    | \#[^\n]*
    | [^ \t\n]
    )
    """,
    re.VERBOSE,
)
_DIGITS = r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_NUMBER = re.compile(_DIGITS)
_OTHER_NUMBER = re.compile(rf"{_DIGITS}%|[0-9]+\.\.[0-9]+|[0-9]+:[0-9]+")
_ODD_NUMBER = re.compile(r".{50}|.*[eE][+-]?[0-9]{3}")
_CLOSED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ESCAPE = re.compile(r'\\["\\nt]')

_SIGNS = {
    **{sign: sign for sign in "{}()[],.=~-"},
    **dict.fromkeys("|^&+*/", OPERATOR),
    **dict.fromkeys((">=", "<=", ">", "<"), ORDER),
    **dict.fromkeys(("==", "!="), EQUALITY),
    **dict.fromkeys(("step", "steps", "epoch", "epochs"), UNIT),
}


@dataclass(frozen=True)
class Lexemes:
    """The words, comments and line breaks of a text, ended by one of kind `END`."""

    texts: list[str]
    kinds: str
    odd: bool
    """Whether a number or string looks as if only the parser can tell that it is well-formed."""

    def significant(self, index: int) -> int:
        """The index of the first lexeme from `index` on that the grammar sees."""
        while self.kinds[index] in (BREAK, COMMENT):
            index += 1
        return index

    def comments(self) -> list[str]:
        """The comments, without what nobody sees at their ends."""
        pairs = zip(self.texts, self.kinds, strict=True)
        return [text.rstrip(" \t") for text, kind in pairs if kind == COMMENT]

    def words(self) -> str:
        """What the grammar sees, a word a line, without commas before a closing bracket."""
        pairs = zip(self.texts, self.kinds, strict=True)
        text = "\n".join([text for text, kind in pairs if kind != COMMENT and kind != BREAK])
        return text.replace("\n,\n)", "\n)").replace("\n,\n]", "\n]")


def lexemes(text: str) -> Lexemes:
    """The lexemes of any text whose lines end with a line feed, in linear time."""
    texts = _LEXEME.findall(text.rstrip(" \t"))
    texts.append("")
    known = _Kinds(_SIGNS)
    kinds = "".join([known[text] for text in texts])
    return Lexemes(texts, kinds, known.odd)


class _Kinds(dict[str, str]):
    """The kind of each word, found out once a word."""

    odd = False

    def __missing__(self, text: str) -> str:
        kind = self[text] = self._judge(text)
        return kind

    def _judge(self, text: str) -> str:
        first = text[:1]
        if first.isdigit() and first.isascii():
            return self._number(text)
        if first == '"':
            self.odd = self.odd or "\\" in _ESCAPE.sub("", text)
            return STRING if _CLOSED.fullmatch(text) else JUNK
        if first in (COMMENT, "\n", ""):
            return {"\n": BREAK, "": END}.get(first, COMMENT)
        return NAME if first.isascii() and (first.isalpha() or first == "_") else JUNK

    def _number(self, text: str) -> str:
        self.odd = self.odd or _ODD_NUMBER.match(text) is not None
        if _NUMBER.fullmatch(text):
            return NUMBER
        return LITERAL if _OTHER_NUMBER.fullmatch(text) else JUNK
