"""Makes up inputs for a model from the names, types and shapes of what it takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class InputInfo(Protocol):
    """What onnxruntime says of an input."""

    name: str
    type: str
    shape: Sequence[int | str | None]


@dataclass(frozen=True)
class Setting:
    """One way to fill in what a model leaves open.

    `batch` is the size of open first dimensions, `length` that of the others; integers are drawn
    below `ids`; floats are normal, or uniform in [0, 1) if `positive`.
    """

    batch: int
    length: int
    ids: int = 100
    positive: bool = False
    seed: int = 0


SETTINGS = (
    Setting(2, 8),
    Setting(1, 5, seed=1),
    Setting(2, 8, ids=2, positive=True, seed=2),
    Setting(1, 32, seed=3),
    Setting(2, 64, ids=2, positive=True, seed=4),
    Setting(1, 224, positive=True, seed=5),
)
"""Tried in this order until two of them run."""

_TYPES = {
    "float": "float32",
    "double": "float64",
    "float16": "float16",
    "bool": "bool",
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


class CannotMakeUp(Exception):
    """An input is of a kind that no numbers can be made up for."""


def make_inputs(inputs: Sequence[InputInfo], setting: Setting) -> dict[str, NDArray[np.generic]]:
    """One array for each input; raises `CannotMakeUp` for strings, sequences and maps."""
    rng = np.random.default_rng(setting.seed)
    sizes: dict[str, int] = {}
    return {
        item.name: _fill(item, _shape(item.shape, setting, sizes), setting, rng) for item in inputs
    }


def _shape(
    dims: Sequence[int | str | None], setting: Setting, sizes: dict[str, int]
) -> tuple[int, ...]:
    return tuple(
        dim if isinstance(dim, int) and dim >= 0 else _open_size(axis, dim, setting, sizes)
        for axis, dim in enumerate(dims)
    )


def _open_size(axis: int, dim: object, setting: Setting, sizes: dict[str, int]) -> int:
    """The size of an open dimension; `past + 1` is the sum of its terms, one name one size."""
    size = setting.length if axis else setting.batch
    if not isinstance(dim, str) or not dim:
        return size
    terms = [term.strip() for term in dim.split("+")]
    if len(terms) > 1 and all(re.fullmatch(r"\w+", term) for term in terms):
        return sum(int(t) if t.isdigit() else sizes.setdefault(t, size) for t in terms)
    return sizes.setdefault(dim, size)


def _fill(
    item: InputInfo, shape: tuple[int, ...], setting: Setting, rng: np.random.Generator
) -> NDArray[np.generic]:
    match = re.fullmatch(r"tensor\((\w+)\)", item.type)
    if not match or match[1] not in _TYPES:
        raise CannotMakeUp(f'input "{item.name}" is a {item.type}')
    dtype = np.dtype(_TYPES[match[1]])
    name = item.name.lower()
    if dtype.kind == "b" or "mask" in name:
        return np.ones(shape, dtype)
    if "type" in name and dtype.kind in "iu":
        return np.zeros(shape, dtype)
    if "position" in name and dtype.kind in "iu" and shape:
        return np.broadcast_to(np.arange(shape[-1]), shape).astype(dtype)
    if dtype.kind in "iu":
        return rng.integers(0, setting.ids, shape).astype(dtype)
    return (rng.random(shape) if setting.positive else rng.standard_normal(shape)).astype(dtype)
