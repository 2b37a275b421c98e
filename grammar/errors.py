"""Syntax errors as a person wants to read them: what is wrong, where, and what to write instead.

Each rule looks at where a parse stopped and either explains it or passes; the first to explain
wins. Rules live with what they are about: slips, brackets, entries, heads of items.
"""

from __future__ import annotations

from collections.abc import Callable

from lottoc.diagnostics import Diagnostic, Label
from lottoc.grammar.brackets import stray_closer, unclosed
from lottoc.grammar.entries import (
    foreign_head,
    juxtaposed,
    logic_word,
    missing_equals,
    separator,
    unknown_unit,
)
from lottoc.grammar.heads import condition, entry_outside, missing_brace, missing_name, missing_path
from lottoc.grammar.slips import doubled_sign, unreadable
from lottoc.grammar.stop import END, Stop, explain, unexpected
from lottoc.grammar.words import COMPARISONS, ITEM_STARTS, VALUE_STARTS

_TAKES_VALUE = COMPARISONS | {"_EQUALS", "OPERATOR", "SIGN", "REQUIRE"}
_CANNOT_BE_VALUE = (ITEM_STARTS - {"NAME"}) | {"RBRACE", "RPAR", "RSQB", "COMMA", END}


def diagnose(stop: Stop) -> Diagnostic:
    """The one error to report for a parse that stopped."""
    for rule in _RULES:
        if diagnostic := rule(stop):
            return diagnostic
    return unexpected(stop)


def _missing_value(stop: Stop) -> Diagnostic | None:
    before, found = stop.last(), stop.found.type
    if stop.expected >= VALUE_STARTS and found in _CANNOT_BE_VALUE:
        if stop.lone_value and not stop.words:
            help = "write what the parameter is, as in  -D target=95%"
            return explain("missing-value", "the value is empty", stop.found.span, help=help)
        return _no_value(stop, 1) if before.type in _TAKES_VALUE else None
    # `layers =` before `criterion = magnitude` reads `criterion` as the value and stops at "=".
    if found == "_EQUALS" and before.type == "NAME" and stop.openers:
        takes = stop.last(2).type in ("_EQUALS", "OPERATOR")
        return _no_value(stop, 2) if takes else None
    return None


def _no_value(stop: Stop, back: int) -> Diagnostic:
    sign = stop.last(back)
    message = f"nothing stands to the right of `{sign.text}`"
    help = f"write a value after `{sign.text}`, or remove it"
    if sign.type == "_EQUALS":
        key = stop.last(back + 1).text
        message, help = f"`{key}` has no value", f"write  {key} = value, or remove `{key}`"
    if sign.type == "REQUIRE":
        message, help = "`require` has no condition", "write  require a.accuracy >= 90%"
    place = Label(sign.span, "expected a value after this")
    return explain("missing-value", message, place, help=help)


Rule = Callable[[Stop], Diagnostic | None]

_RULES: tuple[Rule, ...] = (
    unreadable,
    doubled_sign,
    logic_word,
    _missing_value,
    unclosed,
    stray_closer,
    unknown_unit,
    foreign_head,
    missing_equals,
    separator,
    juxtaposed,
    entry_outside,
    missing_name,
    missing_path,
    missing_brace,
    condition,
)
