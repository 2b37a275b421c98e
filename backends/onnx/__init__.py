"""Writes pruned models as ONNX files that any runtime reads, and proves that they are right.

A way to store weights is one module and one line in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, cast

from lottoc.backends.onnx.choose import LayerReport
from lottoc.backends.onnx.contents import InspectedLayer, inspect
from lottoc.backends.onnx.emit import Other, emit, emit_core
from lottoc.backends.onnx.verify import VerifyReport, verify, verify_core

if TYPE_CHECKING:
    from lottoc.backends.onnx.representation import Representation


def _module(name: str) -> Callable[[], Representation]:
    return lambda: cast("Representation", import_module(f"lottoc.backends.onnx.{name}"))


FORMATS: dict[str, Callable[[], Representation]] = {
    "dense": _module("dense"),
    "sparse": _module("sparse"),
    "packed": _module("packed"),
    "narrow": _module("narrow"),
}
"""Ways to store a masked weight; but for `narrow`, by the name a recipe gives them."""

AUTO = ("dense", "narrow", "packed")
"""The formats `auto` chooses from: `sparse` is never the smallest that loads everywhere."""

__all__ = [
    "AUTO",
    "FORMATS",
    "InspectedLayer",
    "LayerReport",
    "Other",
    "VerifyReport",
    "emit",
    "emit_core",
    "inspect",
    "verify",
    "verify_core",
]
