"""Where a value ends, and how it reads on one line: a pushdown automaton over lexemes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lottoc.grammar.lexemes import (
    BREAK,
    COMMENT,
    LITERAL,
    NAME,
    NUMBER,
    OPERATOR,
    ORDER,
    STRING,
    UNIT,
    Lexemes,
)

if TYPE_CHECKING:
    from lottoc.grammar.pieces import Chain


class NotARecipe(Exception):
    """The text does not parse."""


@dataclass(slots=True)
class Value:
    """The lexemes of a value, from `begin` up to `end`, and their text on one line."""

    flat: str
    begin: int
    end: int
    spread: bool = False
    """Whether comments or line breaks stand in it, so that one line may not do."""
    before: list[str] = field(default_factory=list)
    """Comments that stand where no line can end, such as behind the key."""
    tree: Chain | None = None
    """How it is laid out, if it may not stand on one line."""


# What may come next. The first three also say what is open: a group, a call or a list.
_TERM = "T"  # a term
_ARGUMENT = "A"  # an argument, or `)`
_ELEMENT = "E"  # an element, or `]`
_NAMED = "N"  # behind a name:  .  (  or the end of the term
_CLOSED = "C"  # behind `)`:  .  or the end of the term
_COUNTED = "U"  # behind a number or `]`:  a unit, or the end of the term
_ENDED = "X"  # the end of the term
_DOTTED = "D"  # a name
_COMPLETE = _NAMED + _CLOSED + _COUNTED + _ENDED

_ON, _OPEN, _CLOSE, _COMMA, _WORD, _UNIT = range(6)

_Move = tuple[str, int, str, str]
"""What may come next, what else to do, and what stands before and behind the word."""

_TERMS: dict[str, _Move] = {
    **dict.fromkeys((NAME, UNIT), (_NAMED, _ON, "", "")),
    NUMBER: (_COUNTED, _ON, "", ""),
    **dict.fromkeys((LITERAL, STRING), (_ENDED, _ON, "", "")),
    **dict.fromkeys("-~", (_TERM, _ON, "", "")),
    "(": (_TERM, _OPEN, "", ""),
    "[": (_ELEMENT, _OPEN, "", ""),
}
_AFTER_TERM: dict[str, _Move] = {
    **dict.fromkeys((OPERATOR, "-"), (_TERM, _ON, " ", " ")),
    ",": (_TERM, _COMMA, "", " "),
    **dict.fromkeys(")]", (_CLOSED, _CLOSE, "", "")),
}
_GRAMMAR: dict[str, dict[str, _Move]] = {
    _TERM: _TERMS,
    _ARGUMENT: {
        **_TERMS,
        **dict.fromkeys((NAME, UNIT), (_NAMED, _WORD, "", "")),
        ORDER: (_TERM, _ON, "", " "),
        ")": (_CLOSED, _CLOSE, "", ""),
    },
    _ELEMENT: {**_TERMS, "]": (_CLOSED, _CLOSE, "", "")},
    _NAMED: {**_AFTER_TERM, ".": (_DOTTED, _ON, "", ""), "(": (_ARGUMENT, _OPEN, "", "")},
    _CLOSED: {**_AFTER_TERM, ".": (_DOTTED, _ON, "", "")},
    _COUNTED: {**_AFTER_TERM, UNIT: (_ENDED, _UNIT, " ", "")},
    _ENDED: _AFTER_TERM,
    _DOTTED: dict.fromkeys((NAME, UNIT), (_NAMED, _ON, "", "")),
}
_MOVES = {state + kind: move for state, moves in _GRAMMAR.items() for kind, move in moves.items()}
_CLOSES = {_ARGUMENT + ")": _CLOSED, _TERM + ")": _CLOSED, _ELEMENT + "]": _COUNTED}

_SHALLOW = 90
"""So many words that nest are surely not too deep."""


class Values:
    """Reads values; `odd` tells afterwards whether only the parser can accept them."""

    def __init__(self, found: Lexemes) -> None:
        self._texts, self._kinds, self._significant = found.texts, found.kinds, found.significant
        self._named: list[tuple[int, str]] = []
        self._deep = False

    @property
    def odd(self) -> bool:
        """Whether an argument may come twice in a call, or a value be too deep."""
        return self._deep or len(set(self._named)) < len(self._named)

    def read(self, begin: int) -> Value:
        """The value that begins at a lexeme. Raises `NotARecipe`."""
        texts, kinds, moves = self._texts, self._kinds, _MOVES
        out: list[str] = []
        brackets: list[tuple[str, int]] = []
        state, spread, at, end = _TERM, False, begin, begin
        while move := moves.get(state + kinds[at]):
            following, action, before, behind = move
            text = texts[at]
            if action:
                if action == _WORD:
                    equals = self._significant(at + 1)
                    if kinds[equals] == "=":
                        self._named.append((brackets[-1][1], text))
                        following, behind = _TERM, " = "
                        spread, at = spread or equals != at + 1, equals
                elif action == _OPEN:
                    brackets.append((following, at))
                elif not brackets and (action != _UNIT or self._is_key(at)):
                    break
                elif action != _UNIT:
                    following = self._in_bracket(kinds[at], brackets, out)
            out.append(f"{before}{text}{behind}")
            state, at = following, at + 1
            end = at
            if kinds[at] in _TRIVIA:
                at = self._significant(at)
                spread = spread or state + kinds[at] in moves
        if brackets or state not in _COMPLETE:
            raise NotARecipe
        if end - begin > _SHALLOW:
            nesting = sum(kinds.count(kind, begin, end) for kind in "o-~.([u<")
            self._deep = self._deep or nesting > _SHALLOW
        return Value("".join(out), begin, end, spread)

    def _is_key(self, at: int) -> bool:
        return self._kinds[self._significant(at + 1)] == "="

    @staticmethod
    def _in_bracket(kind: str, brackets: list[tuple[str, int]], out: list[str]) -> str:
        """What may come behind a comma or a closing bracket."""
        if kind == ",":
            following = brackets[-1][0]
            if following == _TERM:
                raise NotARecipe
            return following
        following = _CLOSES.get(brackets.pop()[0] + kind, "")
        if not following:
            raise NotARecipe
        if out[-1] == ", ":
            out.pop()
        return following


_TRIVIA = (BREAK, COMMENT)
