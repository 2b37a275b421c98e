"""Ways to find a ticket: one file a method, one line here."""

from __future__ import annotations

from importlib import import_module

from lottoc.methods.lab import Method

METHODS = {
    "gmp": "lottoc.methods.gmp:Gmp",
    "imp": "lottoc.methods.imp:Imp",
    "one_shot": "lottoc.methods.one_shot:OneShot",
    "rigl": "lottoc.methods.rigl:Rigl",
    "set": "lottoc.methods.set:Set",
}

PLANNED = frozenset({"edge_popup", "lota", "srigl", "sr_ste", "subset_sum"})
"""Methods that the language knows by name and refuses until they are built."""


def method_class(name: str) -> type[Method]:
    """The class of a method; `KeyError` if there is none of that name."""
    module, _, attribute = METHODS[name].partition(":")
    found: type[Method] = getattr(import_module(module), attribute)
    return found
