"""Applying adapters to tensors, one after another, and taking them back.

A tensor is found by its name, or by the only name that ends with it: a network that stands inside
another one, as `encoder` of a classifier, has a prefix there. Whether it is the right one the
digest of its weights says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lottoc.adapters.change import AFTER, BEFORE, Change, Unfit
from lottoc.adapters.file import Adapter, load
from lottoc.diagnostics import InputError, input_error


@dataclass(frozen=True)
class Plan:
    """Which changes each tensor of a base gets, in order, and from which file."""

    steps: Mapping[str, Sequence[tuple[Path, str, Change]]]
    back: bool
    moved: int
    """How many weights change, those of several adapters counted for each."""

    def tensor(self, name: str, before: NDArray[Any]) -> NDArray[Any]:
        """A tensor of the base as it becomes. Raises `InputError` (adapter-mismatch)."""
        for path, said, change in self.steps[name]:
            try:
                before = change.moved(before, back=self.back)
            except Unfit as error:
                raise self._mismatch(path, said, error) from error
        return before

    def _mismatch(self, path: Path, name: str, error: Unfit) -> InputError:
        help = "apply it to the weights that it was made from"
        if error.found == AFTER:
            help = "it is applied already"
        elif self.back:
            help = "it is not applied" if error.found == BEFORE else help
            help = help if error.found else "take back what was applied after it first"
        return mismatch(path, f'tensor "{name}" {error}', help)


def plan(paths: Sequence[Path], names: Collection[str], *, back: bool = False) -> Plan:
    """Read adapters and find their tensors among those of a base; `back` takes the last one first.

    Raises `InputError`: adapter-invalid, adapter-mismatch, model-not-found.
    """
    steps: dict[str, list[tuple[Path, str, Change]]] = {}
    moved = 0
    for path in reversed(paths) if back else paths:
        adapter: Adapter = load(path)
        moved += adapter.moved
        for name, change in adapter.changes.items():
            steps.setdefault(_find(path, name, names), []).append((path, name, change))
    return Plan(steps, back, moved)


def _find(path: Path, name: str, names: Collection[str]) -> str:
    if name in names:
        return name
    inside = [other for other in names if other.endswith(f".{name}")]
    outside = [other for other in names if name.endswith(f".{other}")]
    found = inside or sorted(outside, key=len)[-1:]
    if len(found) == 1:
        return found[0]
    which = f"it could be {found[0]} or {found[1]}" if found else "there is none of that name"
    message = f'tensor "{name}" is not in the base: {which}'
    raise mismatch(path, message, "give it the base that it was made from")


def mismatch(path: Path, message: str, help: str) -> InputError:
    """An adapter that does not fit its base."""
    return input_error(
        "adapter-mismatch", f"the adapter does not fit: {message}", file=str(path), help=[help]
    )
