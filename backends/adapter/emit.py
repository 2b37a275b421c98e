"""Writes the adapter of a ticket, and checks that it turns one network into the other and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lottoc.adapters.applied import plan
from lottoc.adapters.change import change
from lottoc.adapters.file import Adapter, save
from lottoc.backends.onnx.failure import failure
from lottoc.diagnostics import InputError
from lottoc.masks.mask import Mask
from lottoc.signature import parameter_of
from lottoc.training.state import MODEL, State


@dataclass(frozen=True)
class AdapterLayer:
    """What was written of a layer."""

    name: str
    shape: tuple[int, ...]
    kept: int
    bytes: int
    format: str = "xor"

    @property
    def sparsity(self) -> float:
        """Share of the weights that stay as they are."""
        return 1 - self.kept / int(np.prod(self.shape))


def emit(
    path: Path, ticket: str, base: State, tuned: State, masks: Mapping[str, Mask]
) -> list[AdapterLayer]:
    """Write what makes `tuned` of `base`: of every layer that has a mask, what the mask keeps."""
    parameters = base.part(MODEL)
    try:
        changes = {
            parameter_of(name, parameters): change(base.layer(name), tuned.layer(name), mask)
            for name, mask in masks.items()
        }
    except ValueError as error:
        raise failure(path, str(error)) from error
    save(path, Adapter(ticket, changes))
    return [
        AdapterLayer(name, mask.shape, mask.kept, changes[parameter_of(name, parameters)].nbytes)
        for name, mask in masks.items()
    ]


def verify(path: Path, base: State, tuned: State) -> dict[str, Any]:
    """Read the file back, apply it and take it back, and compare whole networks bit by bit.

    Raises `LottoError` (verify-failed).
    """
    before, after = base.part(MODEL), tuned.part(MODEL)
    try:
        there, back = plan([path], before), plan([path], before, back=True)
        for name, array in before.items():
            moved = there.tensor(name, array) if name in there.steps else array
            if not np.array_equal(_bytes(moved), _bytes(after[name])):
                raise failure(path, f'with it applied, "{name}" is not the ticket\'s')
            again = back.tensor(name, moved) if name in back.steps else moved
            if not np.array_equal(_bytes(again), _bytes(array)):
                raise failure(path, f'taken back, "{name}" is not what it was')
    except InputError as error:
        raise failure(path, error.diagnostics[0].message) from error
    return {"tensors": len(there.steps), "moved": there.moved, "error": 0.0}


def _bytes(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
