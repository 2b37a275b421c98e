"""What a fine-tuning changed of one tensor: which weights, and how their bits differ.

A change is kept as the exclusive or of the bits before and after. So it is its own inverse, exact
for every number (-0.0, NaN and denormal ones too), and takes no more room than the new values;
changes of disjoint weights commute.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.masks.mask import Mask

_BITS: Mapping[int, np.dtype[Any]] = {n: np.dtype(f"<i{n}") for n in (2, 4, 8)}
"""The integer type as wide as a floating-point number of so many bytes."""


class Unfit(ValueError):
    """A tensor is not the one that a change was made from; `found` says which it is."""

    def __init__(self, message: str, found: str = "") -> None:
        super().__init__(message)
        self.found = found


BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class Change:
    """Of one tensor: the weights that changed, their bits, and what they were and became."""

    mask: Mask
    dtype: str
    values: NDArray[Any]
    """Integers [kept], as wide as the weights, in C order: bits before ^ bits after."""
    before: str
    """SHA-256 of the masked weights as they were, in C order, little endian."""
    after: str

    @property
    def nbytes(self) -> int:
        """What it takes to store."""
        return self.mask.bits.nbytes + self.values.nbytes

    def moved(self, tensor: NDArray[Any], *, back: bool = False) -> NDArray[Any]:
        """A copy of a tensor with the change applied, or taken `back`, bit by bit.

        Raises `Unfit` if its shape, type or masked weights are not those it was made from.
        """
        if tensor.shape != self.mask.shape or tensor.dtype.name != self.dtype:
            said = f"{self.dtype}{list(self.mask.shape)}"
            raise Unfit(f"is {tensor.dtype.name}{list(tensor.shape)}, not {said}")
        kept, bits = self.mask.to_bool(), as_bits(tensor).copy()
        held = bits[kept]
        known = {self.before: BEFORE, self.after: AFTER}
        expected = self.after if back else self.before
        if (digest := _digest(held)) != expected:
            raise Unfit("holds other weights where the mask keeps", known.get(digest, ""))
        bits[kept] = held ^ self.values
        moved: NDArray[Any] = bits.view(tensor.dtype)
        return moved


def change(before: NDArray[Any], after: NDArray[Any], mask: Mask) -> Change:
    """What turns one tensor into the other; `ValueError` if they differ outside of the mask."""
    if before.shape != after.shape or before.dtype != after.dtype:
        raise ValueError(f"{before.dtype}{before.shape} cannot become {after.dtype}{after.shape}")
    kept, old, new = mask.to_bool(), as_bits(before), as_bits(after)
    if np.any((old != new) & ~kept):
        raise ValueError("a weight outside of the mask has changed")
    return Change(
        mask, before.dtype.name, old[kept] ^ new[kept], _digest(old[kept]), _digest(new[kept])
    )


def as_bits(tensor: NDArray[Any]) -> NDArray[Any]:
    """The bits of floating-point numbers as integers, in C order."""
    if tensor.dtype.itemsize not in _BITS:
        raise ValueError(f"{tensor.dtype.name} is no floating-point type of 16, 32 or 64 bits")
    bits: NDArray[Any] = np.asarray(tensor, order="C").view(_BITS[tensor.dtype.itemsize])
    return bits


def _digest(bits: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(bits).data).hexdigest()
