"""Writes pruned torch models as torch.export programs, and proves that they are right.

A way to store and run weights is one module and one line in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from lottoc.backends.fx.representation import Representation


def _module(name: str) -> Callable[[], Representation]:
    return lambda: cast("Representation", import_module(f"lottoc.backends.fx.{name}"))


FORMATS: dict[str, Callable[[], Representation]] = {
    "dense": _module("dense"),
    "masked": _module("masked"),
    "csr": _module("csr"),
    "semi_structured": _module("semi_structured"),
}
"""Ways to store and run a masked weight, by the name a recipe gives them."""
