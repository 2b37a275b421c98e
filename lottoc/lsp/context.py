"""What could be typed at the cursor, read from the words before it: no tree is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from lottoc.diagnostics import Source
from lottoc.grammar.scan import STATEMENTS, scan
from lottoc.grammar.tokens import Token, tokens

Wanted = Literal["nothing", "item", "emit", "key", "value", "argument", "property", "text"]

_CONTINUES = frozenset("|^&+-*/~<>([,=.") | {"==", "!=", ">=", "<="}


@dataclass(frozen=True)
class Cursor:
    """Where the cursor stands.

    `start` is where the word or text begins that is being typed and `typed` what there is of it.
    `kind` and `name` belong to the block around, or are the keyword of the statement; `key` to
    the entry; `function` and `argument` to the innermost call; `base` stands before a point.
    """

    wanted: Wanted
    start: int
    typed: str = ""
    kind: str = ""
    name: str = ""
    key: str = ""
    function: str = ""
    argument: str = ""
    base: str = ""
    given: frozenset[str] = field(default=frozenset())
    """Keys of the block, or arguments of the call, that are there already."""
    after_number: bool = False
    """Whether a number stands before, which a unit may follow."""


def cursor(source: Source, offset: int) -> Cursor:
    """Look at the words before an offset, from where the item begins that it is in."""
    begin = max((at for at in scan(source).items if at <= offset), default=0)
    before = list(tokens(source.text, begin, offset))
    if before and before[-1].kind == "comment" and "\n" not in source.text[before[-1].end : offset]:
        return Cursor("nothing", offset)
    words = [t for t in before if t.kind != "comment"]
    if not words or words[-1].end != offset:
        return _at(words, _Typing(offset, "", False), source)
    word = words.pop()
    if word.kind == "string" and not word.closed:
        return _at(words, _Typing(word.start + 1, word.text[1:], True), source)
    if word.kind == "name":
        return _at(words, _Typing(word.start, word.text, False), source)
    if word.kind in ("number", "string"):
        return Cursor("nothing", offset)
    return _at([*words, word], _Typing(offset, "", False), source)


@dataclass(frozen=True)
class _Typing:
    """The word or text that is being typed."""

    start: int
    typed: str
    in_text: bool


def _at(words: Sequence[Token], typing: _Typing, source: Source) -> Cursor:
    """The cursor behind complete words."""
    brace = _open_brace(words)
    if brace is None:
        return _between_items(words, typing)
    head = _head(words, brace)
    kind, name = head[0].text, head[1].text if len(head) > 1 else ""
    body = words[brace + 1 :]
    found = _keys(body)
    value = body[found[-1] + 2 :] if found else []
    if found and not _complete(value):
        return _in_value(value, typing, kind, name, body[found[-1]].text)
    loose = not found and bool(body)  # a word stands there that no `=` has followed
    wanted: Wanted = "nothing" if typing.in_text or loose else "key"
    given = _keys_around(source, words[brace].end)
    number = bool(value) and value[-1].kind == "number"
    return Cursor(wanted, typing.start, typing.typed, kind, name, given=given, after_number=number)


def _between_items(words: Sequence[Token], typing: _Typing) -> Cursor:
    """The cursor outside all blocks: in a statement, in the head of a block, or before an item."""
    closed = max((i for i, w in enumerate(words) if w.text == "}"), default=-1)
    words = words[closed + 1 :]
    texts = [w.text for w in words]
    begins = [i for i, t in enumerate(texts) if t in (*STATEMENTS, "emit")]
    start = max((i for i in begins if i == 0 or texts[i - 1] != "."), default=0)
    statement = texts[start:]
    match statement:
        case []:
            wanted: Wanted = "nothing" if typing.in_text else "item"
            return Cursor(wanted, typing.start, typing.typed)
        case ["emit"] if not typing.in_text:
            return Cursor("emit", typing.start, typing.typed)
        case ["import"] if typing.in_text:
            return Cursor("text", typing.start, typing.typed, "import")
        case ["require", *_] if not _complete(words[start + 1 :]):
            return _in_value(words[start + 1 :], typing, "require", "", "")
        case ["mask", name, "=", *_] if not _complete(words[start + 3 :]):
            return _in_value(words[start + 3 :], typing, "mask", name, "")
        case ["require" | "import", _, *_] | ["mask" | "param", _, "=", _, *_]:
            return Cursor("nothing" if typing.in_text else "item", typing.start, typing.typed)
    return Cursor("nothing", typing.start)


def _in_value(value: Sequence[Token], typing: _Typing, kind: str, name: str, key: str) -> Cursor:
    if len(value) >= 2 and value[-1].text == ".":
        base = value[-2].text
        return Cursor("property", typing.start, typing.typed, kind, name, key, base=base)
    call = _open_call(value)
    function, argument, given = "", "", frozenset[str]()
    wanted: Wanted = "text" if typing.in_text else "value"
    if call is not None:
        function, inside = value[call - 1].text, value[call + 1 :]
        names = [w.text for w, after in pairwise(inside) if after.text == "="]
        given = frozenset(names)
        fresh = not inside or inside[-1].text == ","
        argument = names[-1] if names and not fresh else ""
        wanted = "argument" if fresh and not typing.in_text else wanted
    number = bool(value) and value[-1].kind == "number"
    return Cursor(
        wanted, typing.start, typing.typed, kind, name, key, function, argument, "", given, number
    )


def _open_brace(words: Sequence[Token]) -> int | None:
    """The brace of the block that the words end in."""
    for index in reversed(range(len(words))):
        if words[index].text == "}":
            return None
        if words[index].text == "{":
            return index
    return None


def _head(words: Sequence[Token], brace: int) -> Sequence[Token]:
    """The kind and name before a brace."""
    back = 3 if brace >= 3 and words[brace - 1].kind == "string" else 2
    return words[max(0, brace - back) : brace] or words[brace : brace + 1]


def _keys(body: Sequence[Token]) -> list[int]:
    """The indices of keys in the body of a block; arguments of calls are none."""
    depth, found = 0, []
    for index, (word, after) in enumerate(pairwise(body)):
        depth = max(0, depth + (word.text in "([") - (word.text in ")]"))
        is_key = word.kind == "name" and after.text == "="
        if is_key and (depth == 0 or body[index - 1].text not in ("(", ",")):
            found.append(index)
            depth = 0
    return found


def _keys_around(source: Source, begin: int) -> frozenset[str]:
    """The keys of a block, those behind the cursor included."""
    body = []
    for token in tokens(source.text, begin):
        if token.text in ("{", "}"):
            break
        body.append(token)
    return frozenset(body[index].text for index in _keys(body))


def _complete(value: Sequence[Token]) -> bool:
    """Whether a value could end here: no operator waits, no bracket is open."""
    if not value or value[-1].text in _CONTINUES:
        return False
    return sum((w.text in "([") - (w.text in ")]") for w in value) <= 0


def _open_call(value: Sequence[Token]) -> int | None:
    """The bracket of the innermost call still open, past lists inside it."""
    closed = 0
    for index in reversed(range(len(value))):
        text = value[index].text
        if value[index].kind == "sign" and text in ")]":
            closed += 1
        elif value[index].kind == "sign" and text in "([":
            if closed:
                closed -= 1
            elif text == "(" and index and value[index - 1].kind == "name":
                return index
    return None
