"""What every computation of the engine is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xdsl.ir import SSAValue

from lottoc.engine.store import Store
from lottoc.progress import Progress

Value = Callable[[SSAValue], Any]
"""Gives the result that an SSA value stands for."""


@dataclass(frozen=True)
class Bench:
    """What a computation has beside its operands."""

    store: Store
    progress: Progress
    key: str
    label: str
