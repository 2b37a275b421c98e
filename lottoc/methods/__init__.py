"""Ways to find a ticket: one file a method, one line here."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from lottoc.methods.lab import Method

METHODS = {
    "edge_popup": "lottoc.methods.edge_popup:EdgePopup",
    "gmp": "lottoc.methods.gmp:Gmp",
    "imp": "lottoc.methods.imp:Imp",
    "lota": "lottoc.methods.lota:Lota",
    "one_shot": "lottoc.methods.one_shot:OneShot",
    "rigl": "lottoc.methods.rigl:Rigl",
    "set": "lottoc.methods.set:Set",
    "sr_ste": "lottoc.methods.sr_ste:SrSte",
    "srigl": "lottoc.methods.srigl:Srigl",
    "subset_sum": "lottoc.methods.subset_sum:SubsetSum",
}


def method_class(name: str) -> type[Method]:
    """The class of a method; `KeyError` if there is none of that name."""
    module, _, attribute = METHODS[name].partition(":")
    found: type[Method] = getattr(import_module(module), attribute)
    return found


@dataclass(frozen=True)
class Unsuited:
    """What a method does not work with: a key of a ticket, and why."""

    key: str
    message: str
    help: tuple[str, ...]


def unsuited(method: Method, pattern: str, criterion: str | None) -> Unsuited | None:
    """What a method cannot find a ticket with, by the names of a pattern and a criterion."""
    for key, said in (("patterns", pattern), ("criteria", criterion)):
        known = getattr(method, key, None)
        if known is not None and said is not None and said not in known:
            word = {"patterns": "pattern", "criteria": "criterion"}[key]
            message = f"does not work with {word} {said}"
            return Unsuited(word, message, (f"it takes {', '.join(known)}",))
    if criterion == "task_vector" and not getattr(method, "adapts", False):
        message = "has no task vector to score: nothing was fine-tuned"
        return Unsuited("criterion", message, ("it goes with  method = lota",))
    problem: str | None = getattr(method, "problem", lambda pattern: None)(pattern)
    return None if problem is None else Unsuited("method", problem, ())
