"""Checking `on_collapse`: what to do about masks that cut the network."""

from __future__ import annotations

from lottoc.criteria import SOLVERS
from lottoc.diagnostics import Label
from lottoc.grammar import syntax
from lottoc.lower.program import Selection
from lottoc.lower.read import Reader
from lottoc.lower.selections import Keys
from lottoc.masks.patterns import UNSTRUCTURED

ON_COLLAPSE = ("error", "keep_best", "ignore")


def read_on_collapse(
    reader: Reader, keys: Keys, block: syntax.Block, found: Selection | None, base: str = ""
) -> str:
    """The word, `base` where the block says none, or nothing.

    `found` says how the ticket is found; it is None if its mask is given.
    """
    word, span = base, block.name_span
    if "on_collapse" in keys:
        value = keys["on_collapse"].value
        word, span = reader.choice(value, ON_COLLAPSE, "on_collapse") or "", value.span
    if word != "keep_best":
        return word
    if found is None:
        reader.findings.error(
            "unused-key",
            f'"keep_best" has no effect: the mask of "{block.name}" is given',
            span,
            help="write  on_collapse = error, or ask for it where the mask is found",
        )
    elif reason := _hindrance(found):
        message = f'masks of "{block.name}" cannot be repaired: {reason}'
        reader.findings.error("method-unsuited", message, span, help="write  on_collapse = error")
    elif found.pattern.name != UNSTRUCTURED:
        at = Label(keys["pattern"].value.span, "this pattern") if "pattern" in keys else None
        reader.findings.error(
            "repair-pattern",
            f"masks of pattern {found.pattern} cannot be repaired weight by weight",
            span,
            *([at] if at else []),
            help="write  on_collapse = error, or leave the pattern out",
        )
    return word


def _hindrance(found: Selection) -> str:
    """Why weights cannot be put back into masks after pruning; nothing if they can."""
    if getattr(found.method, "adapts", False):
        return f"those of {found.method_name} say what may move, not what is there"
    if not getattr(found.method, "invertible", True):
        return f"{found.method_name} chooses them by itself"
    if found.criterion.name in SOLVERS:
        return f"{found.criterion.name} makes them together with the weights"
    return ""
