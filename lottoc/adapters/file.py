"""Adapter files: safetensors with a bit-packed mask and a row of values for each tensor.

`mask/NAME` is uint8, one bit a weight in C order, the first in the highest bit; `values/NAME` are
integers as wide as the weights, one for each bit that is set: bits before ^ bits after. The
metadata says shape, type and digests of each. A file holds nothing that could run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lottoc.adapters.change import Change
from lottoc.diagnostics import InputError, input_error
from lottoc.frontends.tensor_file import Described, TensorFile, write_tensors
from lottoc.masks.mask import Mask

FORMAT = "lottoc adapter"
VERSION = "1"
_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


@dataclass(frozen=True)
class Adapter:
    """A ticket's name, and the change of each tensor, by the tensor's name."""

    ticket: str
    changes: Mapping[str, Change]

    @property
    def moved(self) -> int:
        """How many weights it changes."""
        return sum(change.mask.kept for change in self.changes.values())


def save(path: Path, adapter: Adapter) -> None:
    """Write a file; equal adapters give equal bytes."""
    described: list[tuple[str, Described]] = []
    arrays: dict[str, Any] = {}
    told = {}
    for name, change in adapter.changes.items():
        parts = {f"mask/{name}": change.mask.bits, f"values/{name}": change.values}
        arrays |= parts
        described += [(key, Described(a.dtype.name, a.shape)) for key, a in parts.items()]
        told[name] = {
            "shape": list(change.mask.shape),
            "dtype": change.dtype,
            "before": change.before,
            "after": change.after,
        }
    described.sort(key=lambda item: (-_width(item[1]), item[0]))  # wide numbers begin aligned
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "ticket": adapter.ticket,
        "tensors": json.dumps(told, sort_keys=True, separators=(",", ":")),
    }
    write_tensors(path, described, lambda name: arrays[name], metadata)


def _width(tensor: Described) -> int:
    return np.dtype(tensor.dtype).itemsize


def load(path: Path) -> Adapter:
    """Read a file. Raises `InputError`: adapter-invalid, model-not-found."""
    try:
        file = TensorFile(path)
    except InputError as error:
        if error.diagnostics[0].code != "safetensors-invalid":
            raise
        raise _invalid(path, "it is no safetensors file") from error
    if file.metadata.get("format") != FORMAT:
        raise _invalid(path, "it was not written by  emit adapter")
    if file.metadata.get("version") != VERSION:
        raise _invalid(path, f"it is of version {file.metadata.get('version')}, not {VERSION}")
    try:
        told: Mapping[str, Any] = json.loads(file.metadata["tensors"])
        changes = {name: _change(file, name, said) for name, said in told.items()}
        return Adapter(str(file.metadata["ticket"]), changes)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _invalid(path, "a mask or its values are missing or do not fit") from error


def _change(file: TensorFile, name: str, said: Mapping[str, Any]) -> Change:
    shape = tuple(int(size) for size in said["shape"])
    if any(size < 0 for size in shape) or math.prod(shape) > 8 * file.get(f"mask/{name}").size:
        raise ValueError("the mask is too short")
    mask = Mask(shape, file.get(f"mask/{name}"))
    values = file.get(f"values/{name}")
    if values.shape != (mask.kept,) or values.dtype.itemsize != _BYTES[said["dtype"]]:
        raise ValueError("not one value for each weight")
    return Change(mask, str(said["dtype"]), values, str(said["before"]), str(said["after"]))


def _invalid(path: Path, reason: str) -> InputError:
    return input_error(
        "adapter-invalid",
        f"not an adapter, or damaged: {reason}",
        file=str(path),
        help=['adapters are written by  emit adapter "task.safetensors" { ticket = … }'],
    )
