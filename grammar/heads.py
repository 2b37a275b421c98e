"""Errors about how an item begins: its kind, its name, its path, its condition."""

from __future__ import annotations

import re

from lottoc.diagnostics import Diagnostic, did_you_mean
from lottoc.grammar.scan import BLOCK_KINDS, STATEMENTS
from lottoc.grammar.stop import ITEMS_HELP, Stop, Word, explain
from lottoc.grammar.words import COMPARISONS

_KINDS = BLOCK_KINDS + STATEMENTS
_SHAPES = {
    "emit": 'emit onnx "model.onnx" { ticket = NAME }',
    "param": "param NAME = value",
    "mask": "mask NAME = a.mask & b.mask",
    "require": "require a.accuracy >= b.accuracy",
    "import": 'import "presets/llm.lotto"',
}


def entry_outside(stop: Stop) -> Diagnostic | None:
    """`key = value` where only items may stand."""
    key = stop.last()
    if stop.found.type != "_EQUALS" or not _awaits_name(stop) or key.text in _KINDS:
        return None
    return explain(
        "outside-block",
        f"`{key.text} = …` stands outside a block",
        key.span,
        help=f"move it into the braces of a block, or begin it with `param`: param {key.text} = …",
    )


def missing_name(stop: Stop) -> Diagnostic | None:
    """The kind of a block, or `param` or `mask`, is not followed by a name."""
    kind = stop.last()
    if not _awaits_name(stop):
        return None
    if kind.text not in _KINDS:
        return _unknown_head(stop, kind, f"expected a name after `{kind.text}`")
    message = f"`{kind.text}` has no name"
    if kind.text == "emit":
        message = "`emit` does not say what to write: onnx, fx, adapter or hf"
    elif stop.found.type == "STRING":
        message = f"the name of a `{kind.text}` is written without quotes"
    return explain("missing-name", message, stop.found.span, help=f"write  {_shape(stop, kind)}")


def _awaits_name(stop: Stop) -> bool:
    """Whether the word just read is the first of an item."""
    return not stop.openers and stop.expected == {"NAME"} and stop.last().type != "DOT"


def _shape(stop: Stop, kind: Word) -> str:
    name = stop.found.text.strip('"')
    fits = stop.found.type == "STRING" and re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name)
    return _SHAPES.get(kind.text) or f"{kind.text} {name if fits else 'NAME'} {{ … }}"


def _unknown_head(stop: Stop, kind: Word, expected: str) -> Diagnostic:
    """An item that begins with a word no item begins with, most likely misspelt."""
    nearest = did_you_mean(kind.text, _KINDS)
    if nearest[0].startswith("did"):
        message = f"nothing begins with `{kind.text}`"
        return explain("unknown-item", message, kind.span, help=nearest)
    message = f"{expected}, found {stop.found_text}"
    return explain("unexpected-token", message, stop.found.span, help=ITEMS_HELP)


def missing_path(stop: Stop) -> Diagnostic | None:
    """`emit` or `import` without a path in quotes."""
    if stop.expected != {"STRING"}:
        return None
    head = "emit" if stop.last().type == "NAME" else "import"
    said = f"emit {stop.last().text}" if head == "emit" else head
    message = f"expected a path in double quotes after `{said}`, found {stop.found_text}"
    return explain("missing-path", message, stop.found.span, help=f"write  {_SHAPES[head]}")


def missing_brace(stop: Stop) -> Diagnostic | None:
    """A block's kind and name are not followed by `{`."""
    if stop.expected != {"LBRACE"}:
        return None
    kind, name, found = stop.last(2), stop.last(), stop.found
    expected = f"expected `{{` after `{kind.text} {name.text}`"
    if name.type == "NAME" and kind.text not in _KINDS:
        return _unknown_head(stop, kind, expected)
    help = f"write  {kind.text} {name.text} {{ key = value }}"
    if name.type == "STRING":
        expected, help = f"expected `{{` after {name.text}", f"write  {_SHAPES['emit']}"
    elif found.text == "-":
        help = "a name is made of letters, digits and _"
    elif found.type == "STRING":
        help = "only `emit` takes a path"
    return explain("missing-brace", f"{expected}, found {stop.found_text}", found.span, help=help)


def condition(stop: Stop) -> Diagnostic | None:
    """A `require` that compares nothing, or too much."""
    if stop.openers or stop.lone_value:
        return None
    if stop.expected >= COMPARISONS and stop.found.type == "_EQUALS":
        message = "`=` does not compare"
        return explain("unexpected-token", message, stop.found.span, help="write  ==  to compare")
    if stop.found.type in COMPARISONS and any(w.type in COMPARISONS for w in stop.words):
        message = f"a second comparison, `{stop.found.text}`, in one `require`"
        help = "give each comparison a `require` of its own"
        return explain("unexpected-token", message, stop.found.span, help=help)
    return None
