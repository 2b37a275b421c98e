"""Errors about brackets and braces that have no partner."""

from __future__ import annotations

from lottoc.diagnostics import Diagnostic, Label
from lottoc.grammar.stop import END, Stop, Word, explain
from lottoc.grammar.words import ITEM_STARTS

_CLOSERS = {"{": "}", "(": ")", "[": "]"}


def unclosed(stop: Stop) -> Diagnostic | None:
    """The recipe ends, or the next item begins, inside a bracket."""
    if not stop.openers:
        return None
    over = stop.found.type == END or stop.found.type in ITEM_STARTS - {"NAME"}
    if stop.opener.text == "{":
        return unclosed_block(stop, stop.found) if over else None
    if over or (stop.found.text in ("}", "]", ")") and stop.found.text != _closer(stop)):
        return _unclosed(stop, "unclosed-bracket", f"`{stop.opener.text}`", stop.found)
    return None


def unclosed_block(stop: Stop, at: Word) -> Diagnostic:
    """The block being read has no `}` before the word `at`."""
    return _unclosed(stop, "unclosed-block", f"block `{stop.block_head}`", at)


def stray_closer(stop: Stop) -> Diagnostic | None:
    """A closing bracket that nothing opened."""
    if stop.found.text not in ("}", ")", "]") or stop.opener.text in ("(", "["):
        return None
    if stop.found.text == "}" and stop.opener.text == "{":
        return None
    help = "remove it: every block is closed already"
    if stop.found.text != "}":
        help = "remove it, or open the bracket before it"
    return explain(
        "unmatched-bracket", f"`{stop.found.text}` closes nothing", stop.found.span, help=help
    )


def _closer(stop: Stop) -> str:
    return _CLOSERS[stop.opener.text]


def _unclosed(stop: Stop, code: str, what: str, at: Word) -> Diagnostic:
    where = "before this" if at.text else "here"
    return explain(
        code,
        f"{what} is never closed",
        Label(at.span, f"expected `{_closer(stop)}` {where}"),
        Label(stop.opener.span, "opened here"),
        help=f"write `{_closer(stop)}` where it ends",
    )
