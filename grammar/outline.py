"""The items, entries and comments of a recipe in the order they are written, for the formatter.

This reads the grammar of `lotto.lark` a second time, many times as fast, and knows nothing of
errors: a text that it refuses is one for `lottoc.grammar.parser` to explain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lottoc.grammar.lexemes import BREAK, COMMENT, END, EQUALITY, NAME, ORDER, STRING, UNIT, Lexemes
from lottoc.grammar.scan import STATEMENTS
from lottoc.grammar.values import NotARecipe, Value, Values

_WORDS = (NAME, UNIT)


@dataclass(slots=True)
class Remark:
    """A comment on a line of its own; `gap` says whether a blank line stands before it."""

    comment: str
    gap: bool


@dataclass(slots=True)
class Entry:
    """`key = value`, and the comment behind it."""

    head: str
    value: Value
    gap: bool
    comment: str = ""


@dataclass(slots=True)
class Block:
    """`ticket winning { … }`; `opening` is the comment behind its `{`."""

    kind: str
    head: str
    gap: bool
    comment: str = ""
    opening: str = ""
    body: list[Part] = field(default_factory=list)
    one_line: bool = True


@dataclass(slots=True)
class Statement:
    """`param a = 1`, `mask a = b`, `require a > b` or `import "a"`.

    `head` is what stands before the `=`, or else the keyword; `left` and `operator` are those of
    a condition.
    """

    kind: str
    head: str
    value: Value
    gap: bool
    comment: str = ""
    left: str = ""
    operator: str = ""


Part = Remark | Entry | Block | Statement


class Outline:
    """Reads lexemes into items."""

    def __init__(self, found: Lexemes) -> None:
        self._found, self._values = found, Values(found)
        self._texts, self._kinds = found.texts, found.kinds
        self._at = 0
        self._gap = False
        self._stray: list[str] = []
        """Comments in a head, where no line can end."""
        self._repeats = False

    @property
    def odd(self) -> bool:
        """Whether a key comes twice, or a number, string or depth is out of the ordinary."""
        return self._found.odd or self._repeats or self._values.odd

    def items(self) -> list[Part]:
        """All items. Raises `NotARecipe`."""
        items: list[Part] = []
        while True:
            items += self._remarks(items[-1] if items else None)
            kind, word = self._kinds[self._at], self._texts[self._at]
            if kind == END:
                return items
            if kind not in _WORDS:
                raise NotARecipe
            items.append(self._statement(word) if word in STATEMENTS else self._block(word))

    def _remarks(self, last: Part | None) -> list[Remark]:
        """Go to the next word; a comment on the line of `last` becomes its own."""
        kinds, texts, at = self._kinds, self._texts, self._at
        self._gap = False
        if kinds[at] != BREAK and kinds[at] != COMMENT:
            return []
        remarks = []
        fresh = last is None
        while (kind := kinds[at]) == BREAK or kind == COMMENT:
            if kind == BREAK:
                fresh, self._gap = True, texts[at].count("\n") > 1
            elif fresh or last is None or last.comment:
                remarks.append(Remark(texts[at].rstrip(" \t"), self._gap))
                self._gap = False
            else:
                last.comment = texts[at].rstrip(" \t")
            at += 1
        self._at = at
        return remarks

    def _next(self) -> str:
        """Go to the next word of a head, and give its kind."""
        at = self._at + 1
        while (kind := self._kinds[at]) == BREAK or kind == COMMENT:
            if kind == COMMENT:
                self._stray.append(self._texts[at].rstrip(" \t"))
            at += 1
        self._at = at
        return kind

    def _expect(self, kinds: Sequence[str]) -> str:
        """Go to the next word, which must be of one of some kinds, and give its text."""
        if self._next() not in kinds:
            raise NotARecipe
        return self._texts[self._at]

    def _value(self) -> Value:
        """The value behind the word read last."""
        self._next()
        value = self._values.read(self._at)
        if self._stray:
            value.before, self._stray = self._stray, []
        self._at = value.end
        return value

    def _statement(self, word: str) -> Statement:
        gap = self._gap
        if word == "require":
            return self._require(gap)
        if word == "import":
            text = self._expect(STRING)
            value = Value(text, self._at, self._at + 1, before=self._stray)
            self._stray, self._at = [], self._at + 1
            return Statement(word, word, value, gap)
        name = self._expect(_WORDS)
        self._expect("=")
        return Statement(word, f"{word} {name}", self._value(), gap)

    def _require(self, gap: bool) -> Statement:
        left = self._value()
        sign = self._found.significant(left.end)
        if self._kinds[sign] not in (ORDER, EQUALITY):
            raise NotARecipe
        operator, begin = self._texts[sign], self._found.significant(sign + 1)
        right = self._values.read(begin)
        self._at = right.end
        spread = left.spread or right.spread or left.end != sign or sign + 1 != begin
        flat = f"{left.flat} {operator} {right.flat}"
        value = Value(flat, left.begin, right.end, spread, left.before)
        return Statement("require", "require", value, gap, "", left.flat, operator)

    def _block(self, kind: str) -> Block:
        gap = self._gap
        head = f"{kind} {self._expect(_WORDS)}"
        if kind == "emit":
            head = f"{head} {self._expect(STRING)}"
        self._expect("{")
        block = Block(kind, head, gap)
        start = self._at
        self._at += 1
        if self._kinds[self._at] == COMMENT:
            self._next_comment()
        if self._stray:
            block.opening, *more = self._stray
            block.body += [Remark(comment, False) for comment in more]
            self._stray = []
        self._entries(block.body)
        block.one_line = BREAK not in self._kinds[start : self._at]
        self._at += 1
        return block

    def _next_comment(self) -> None:
        self._stray.append(self._texts[self._at].rstrip(" \t"))
        self._at += 1

    def _entries(self, body: list[Part]) -> None:
        """Read up to the closing brace."""
        texts, keys = self._texts, list[str]()
        while True:
            body += self._remarks(body[-1] if body else None)
            kind = self._kinds[self._at]
            if kind == "}":
                break
            if kind not in _WORDS:
                raise NotARecipe
            key, gap = texts[self._at], self._gap
            if self._next() != "=":
                raise NotARecipe
            keys.append(key)
            body.append(Entry(key, self._value(), gap))
        self._repeats = self._repeats or len(set(keys)) < len(keys)
