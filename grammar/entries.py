"""Errors about the `key = value` entries of a block and the arguments of a call."""

from __future__ import annotations

import difflib
from dataclasses import replace

from lottoc.diagnostics import Diagnostic, Label
from lottoc.grammar.brackets import unclosed_block
from lottoc.grammar.scan import BLOCK_KINDS, STATEMENTS
from lottoc.grammar.stop import Stop, Word, explain, unexpected
from lottoc.grammar.words import VALUE_STARTS

_UNITS = ("steps", "epochs")
_OTHER_UNITS = {"iterations": "steps", "iters": "steps", "batches": "steps", "updates": "steps"}
_PLAIN_VALUES = VALUE_STARTS - {"LPAR", "SIGN", "LSQB"}

_LOGIC = ("and", "or", "not")


def logic_word(stop: Stop) -> Diagnostic | None:
    """`and`, `or` or `not` for an operator."""
    for word in (stop.last(2), stop.last(), stop.found):
        if word.type == "NAME" and word.text in _LOGIC:
            message = f"`{word.text}` is not an operator"
            help = "join masks or layers with  &  |  ~ ; give each condition its own `require`"
            return explain("unknown-operator", message, word.span, help=help)
    return None


def missing_equals(stop: Stop) -> Diagnostic | None:
    """A key, or the name of an argument, is followed by something else than `=`."""
    key, found = stop.last(), stop.found
    if key.type != "NAME" or "_EQUALS" not in stop.expected:
        return None
    in_call = stop.expected != {"_EQUALS"}
    if in_call and found.type not in VALUE_STARTS | {"EQUALITY"}:
        return None
    message = f"expected `=` after `{key.text}`, found {stop.found_text}"
    return explain("missing-equals", message, found.span, help=_how_to_set(stop, key, in_call))


def _how_to_set(stop: Stop, key: Word, in_call: bool) -> str:
    found = stop.found
    if not stop.openers:
        value = found.text if found.type in _PLAIN_VALUES else "value"
        return f"write  {stop.last(2).text} {key.text} = {value}"
    if found.type == "LBRACE" or stop.upcoming(found.span.end) == "{":
        function = found.text if found.type == "NAME" else "name"
        return f"blocks do not nest: write  {key.text} = {function}(key = value)"
    if found.type == "EQUALITY":
        return f"write  {key.text} = …  to set a key; `==` compares, in a `require`"
    if found.type in _PLAIN_VALUES:
        comma = ", or put a comma between them" if in_call else ""
        return f"write  {key.text} = {found.text}{comma}"
    if stop.last(2).type == "LBRACE" or in_call:
        return f"write  {key.text} = value"
    return f"write  {key.text} = value, or put an operator before `{key.text}`"


def unknown_unit(stop: Stop) -> Diagnostic | None:
    """A number is followed by a word that is nearly a unit."""
    for word, number in ((stop.found, stop.last()), (stop.last(), stop.last(2))):
        if word.type == "NAME" and number.type in ("NUMBER", "RSQB"):
            unit = _OTHER_UNITS.get(word.text.lower()) or _close_unit(word.text)
            if unit:
                return explain(
                    "unknown-unit",
                    f"unknown unit `{word.text}`",
                    word.span,
                    help=f'did you mean "{unit}"? lengths are in steps or epochs',
                )
    return None


def _close_unit(word: str) -> str | None:
    return next(iter(difflib.get_close_matches(word.lower(), _UNITS, n=1, cutoff=0.7)), None)


def foreign_head(stop: Stop) -> Diagnostic | None:
    """Inside a line, `ticket` is followed by a name: an item begins and the brace was lost."""
    word = stop.last()
    if stop.expected != {"_EQUALS"} or stop.opener.text != "{" or stop.begins_line(word):
        return None
    begins = word.text in BLOCK_KINDS + STATEMENTS and stop.found.type in ("NAME", "STRING")
    return unclosed_block(stop, word) if begins else None


def separator(stop: Stop) -> Diagnostic | None:
    """A comma between entries, or braces around arguments."""
    if stop.opener.text != "{" or "RBRACE" not in stop.expected:
        return None
    if stop.found.text == ",":
        return explain(
            "unexpected-token",
            "unexpected `,`: entries need no separator",
            Label(stop.found.span),
            help="remove the comma: a space or a new line is enough",
        )
    if stop.found.text == "{" and stop.last().type == "NAME":
        name = stop.last().text
        return explain(
            "unexpected-token",
            f"unexpected `{{` after `{name}`: blocks do not nest",
            Label(stop.found.span),
            help=f"give arguments in round brackets:  {name}(key = value)",
        )
    return None


def juxtaposed(stop: Stop) -> Diagnostic | None:
    """Two values side by side, or a key in quotes."""
    if stop.found.type not in VALUE_STARTS or stop.expected >= VALUE_STARTS:
        return None
    in_block = stop.opener.text == "{"
    if stop.found.type == "STRING" and in_block and stop.upcoming(stop.found.span.end) == "=":
        key = stop.found.text.strip('"')
        help = f"keys are written without quotes:  {key} = value"
    elif in_block and "OPERATOR" in stop.expected:
        help = "put an operator such as | or - between the two values"
    else:
        return None
    return replace(unexpected(stop), help=(help,))
