"""Bit-packed masks and their algebra."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Mask:
    """Which weights of a layer are kept: 1 bit a weight, C order, padding bits zero."""

    shape: tuple[int, ...]
    bits: NDArray[np.uint8]

    @staticmethod
    def from_bool(array: NDArray[np.bool_]) -> Mask:
        """Pack a boolean array; True is kept."""
        return Mask(tuple(array.shape), np.packbits(array, axis=None))

    @staticmethod
    def full(shape: tuple[int, ...]) -> Mask:
        """The mask that keeps everything."""
        return Mask.from_bool(np.ones(shape, dtype=np.bool_))

    def to_bool(self) -> NDArray[np.bool_]:
        """Unpack to a boolean array of `shape`."""
        return np.unpackbits(self.bits, count=self.size).view(np.bool_).reshape(self.shape)

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def kept(self) -> int:
        """Number of kept weights."""
        return int(np.bitwise_count(self.bits).sum(dtype=np.int64))

    @property
    def density(self) -> float:
        """Kept share of the weights; 0 for a mask of none."""
        return self.kept / self.size if self.size else 0.0

    def _with(self, other: Mask) -> NDArray[np.uint8]:
        if self.shape != other.shape:
            raise ValueError(f"masks of shapes {self.shape} and {other.shape} do not combine")
        return other.bits

    def __and__(self, other: Mask) -> Mask:
        return Mask(self.shape, self.bits & self._with(other))

    def __or__(self, other: Mask) -> Mask:
        return Mask(self.shape, self.bits | self._with(other))

    def __xor__(self, other: Mask) -> Mask:
        return Mask(self.shape, self.bits ^ self._with(other))

    def __sub__(self, other: Mask) -> Mask:
        return Mask(self.shape, self.bits & ~self._with(other))

    def __invert__(self) -> Mask:
        bits = ~self.bits
        if self.size % 8:
            bits[-1] &= 0xFF << (8 - self.size % 8) & 0xFF
        return Mask(self.shape, bits)

    def __le__(self, other: Mask) -> bool:
        """Whether everything kept here is kept there."""
        return not np.any(self.bits & ~self._with(other))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return self.shape == other.shape and bool(np.array_equal(self.bits, other.bits))

    def __hash__(self) -> int:
        return hash((self.shape, self.bits.tobytes()))


def stream(seed: int, name: str) -> np.random.Generator:
    """A random stream of its own for each (seed, layer name)."""
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype="<u4")
    return np.random.Generator(np.random.PCG64([seed, *map(int, words)]))


def shuffle(mask: Mask, seed: int, name: str) -> Mask:
    """A random permutation of a mask: as many kept, anywhere in the layer."""
    flat = mask.to_bool().reshape(-1)
    return Mask.from_bool(stream(seed, name).permutation(flat).reshape(mask.shape))


def save_masks(path: Path, masks: Mapping[str, Mask]) -> None:
    """Write masks to a safetensors file; equal masks give equal bytes."""
    from safetensors.numpy import save_file

    shapes = {name: ",".join(map(str, m.shape)) for name, m in sorted(masks.items())}
    tensors = {name: m.bits for name, m in sorted(masks.items())}
    tensors |= {f"shape/{n}": np.array(masks[n].shape, dtype=np.int64) for n in shapes}
    save_file(tensors, path)


def load_masks(path: Path) -> dict[str, Mask]:
    """Read what `save_masks` wrote."""
    from safetensors.numpy import load_file

    tensors = load_file(path)
    return {
        name: Mask(tuple(int(d) for d in tensors[f"shape/{name}"]), bits)
        for name, bits in tensors.items()
        if not name.startswith("shape/")
    }
