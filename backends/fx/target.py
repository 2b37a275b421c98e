"""Where fx artefacts run, and what sparse tensor cores take there."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch

from lottoc.runtime.two_of_four import multiples

SHIPPED = Path(__file__).parents[2] / "specs" / "targets"


@dataclass(frozen=True)
class SparseType:
    """A type that a GPU's sparse tensor cores multiply: rows and columns are multiples of these."""

    rows: int
    columns: int


@dataclass(frozen=True)
class Target:
    """Where an artefact will run.

    `sparse` are the types of the sparse tensor cores by name; `narrow` is what a type that is not
    among them is narrowed to. Without any, the target has no such cores.
    """

    name: str
    kernels: str = ""
    sparse: Mapping[str, SparseType] = field(default_factory=dict)
    narrow: Mapping[str, str] = field(default_factory=dict)

    def multiples(self, dtype: torch.dtype) -> tuple[int, int]:
        """What rows and columns of a packed weight are padded to multiples of."""
        own = self.sparse.get(str(dtype).removeprefix("torch."))
        rows, columns = multiples(dtype)
        return (max(rows, own.rows), max(columns, own.columns)) if own else (rows, columns)


@cache
def target_of(name: str) -> Target:
    """A shipped target; `torch-cpu` has no sparse tensor cores."""
    if name == "torch-cpu":
        return Target(name)
    content = tomllib.loads((SHIPPED / f"{name}.toml").read_text(encoding="utf-8"))
    sparse = {
        dtype: SparseType(each["rows"], each["columns"])
        for dtype, each in content["sparse"].items()
    }
    return Target(name, content["kernels"], sparse, content["narrow"])
