"""The plain words for what the grammar may expect at a place."""

from __future__ import annotations

from collections.abc import Collection, Iterable

TERMINALS = {
    "NAME": "a name",
    "STRING": "a string",
    "NUMBER": "a number",
    "PERCENT": "a percentage",
    "RANGE": "a range such as `0..4`",
    "RATIO": "a pattern such as `2:4`",
    "UNIT": "a unit (steps or epochs)",
    "EMIT": "`emit`",
    "PARAM": "`param`",
    "MASK": "`mask`",
    "REQUIRE": "`require`",
    "IMPORT": "`import`",
    "_EQUALS": "`=`",
    "EQUALITY": "`==` or `!=`",
    "ORDER": "`>=`, `<=`, `>` or `<`",
    "OPERATOR": "an operator",
    "SIGN": "`-` or `~`",
    "DOT": "`.`",
    "COMMA": "`,`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "COMMENT": "a comment",
    "SPACE": "white space",
    "MARK": "a byte order mark",
    "$END": "the end",
}
"""A name for every terminal of the grammar."""

VALUE_STARTS = frozenset(
    ["NAME", "STRING", "NUMBER", "PERCENT", "RANGE", "RATIO", "SIGN", "LPAR", "LSQB"]
)
ITEM_STARTS = frozenset(["NAME", "EMIT", "PARAM", "MASK", "REQUIRE", "IMPORT"])
COMPARISONS = frozenset(["ORDER", "EQUALITY"])

# What may always follow a value and is hardly ever what was forgotten.
_SELDOM_MEANT = {"OPERATOR", "DOT", "LPAR", "UNIT"}

_GROUPS = (
    (VALUE_STARTS, "a value"),
    (COMPARISONS, "a comparison (`>=`, `<=`, `>`, `<`, `==` or `!=`)"),
    (ITEM_STARTS, "a block"),
)


def wanted(expected: Collection[str], *, in_block: bool = False) -> str:
    """What the terminals `expected` come to, briefly: `a value`, "`,` or `)`"."""
    left = set(expected)
    phrases = []
    for group, phrase in _GROUPS:
        if group <= left:
            phrases.append(phrase)
            left -= group | ({"ORDER"} if group is VALUE_STARTS else set())
    if left - _SELDOM_MEANT or phrases:
        left -= _SELDOM_MEANT
    names = TERMINALS | ({"NAME": "another `key = value`"} if in_block else {})
    return one_of([*phrases, *(names[t] for t in TERMINALS if t in left)])


def one_of(phrases: Iterable[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *most, last = phrases
    return f"{', '.join(most)} or {last}" if most else last
