"""A declarative mask-compiler for neural networks.

Importing this package loads neither torch nor onnxruntime; each is imported where it is first used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lottoc.attached import Attached

__version__ = "0.1.0"


def load(path: str | os.PathLike[str], device: Any = None) -> Any:
    """The model of a compiled `.pt2` file as a torch module; see `lottoc.runtime.load`."""
    from lottoc.runtime import load as load_program

    return load_program(path, device)


def apply(model: Any, *adapters: str | os.PathLike[str]) -> None:
    """Apply adapter files to a torch module in place; see `lottoc.adapters.module.move`."""
    from lottoc.adapters.module import move

    move(model, *adapters)


def unapply(model: Any, *adapters: str | os.PathLike[str]) -> None:
    """Take adapter files out of a torch module again, bit by bit."""
    from lottoc.adapters.module import move

    move(model, *adapters, back=True)


def attach(
    model: Any,
    recipe: str | os.PathLike[str],
    name: str,
    *,
    steps: int | None = None,
    defines: Mapping[str, str] | None = None,
) -> Attached:
    """A ticket of a recipe in a training loop of one's own; see `lottoc.attached.attach`."""
    from lottoc.attached import attach as attach_ticket

    return attach_ticket(model, recipe, name, steps=steps, defines=defines)
