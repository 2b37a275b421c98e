"""Ways for masks to move while a network trains: one file an update, one line here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from lottoc.fields import build

if TYPE_CHECKING:
    from lottoc.training.masked import HeldMasks
    from lottoc.training.moving import Masked

UPDATES = {
    "edge_popup": "lottoc.training.updates.edge_popup:EdgePopup",
    "gmp": "lottoc.training.updates.gmp:Gmp",
    "rigl": "lottoc.training.updates.rigl:Rigl",
    "set": "lottoc.training.updates.set:Set",
    "sr_ste": "lottoc.training.updates.sr_ste:SrSte",
    "srigl": "lottoc.training.updates.srigl:Srigl",
}


class Update(Protocol):
    """The fields of its dataclass are the options of `lotto.train_sparse`."""

    def held(self, layers: Sequence[Masked]) -> HeldMasks:
        """What the training loop calls."""


def make_update(name: str, options: Mapping[str, Any], **asked: str) -> Update:
    """An update with its options, and what it wants to know of the `scope` and `density` asked for.

    Raises `KeyError` if there is none of that name, `OptionError` for options it does not have.
    """
    shape = update_class(name)
    known = {field.name for field in fields(shape)}
    wanted = {key: value for key, value in asked.items() if key in known}
    made: Update = build(shape, {**options, **wanted})
    return made


def update_class(name: str) -> type[Any]:
    """The class of an update; `KeyError` if there is none of that name."""
    module, _, attribute = UPDATES[name].partition(":")
    found: type[Any] = getattr(import_module(module), attribute)
    return found
