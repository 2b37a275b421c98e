"""Bit-packed masks and their algebra."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lottoc.masks.select import keep_best


@dataclass(frozen=True, eq=False)
class Mask:
    """Which weights of a layer are kept: 1 bit a weight, C order, padding bits zero."""

    shape: tuple[int, ...]
    bits: NDArray[np.uint8]
    """[⌈size / 8⌉], the first weight in the highest bit; not writable."""

    def __post_init__(self) -> None:
        length, padding = -(-self.size // 8), -self.size % 8
        if self.bits.shape != (length,) or self.bits.dtype != np.uint8:
            found = f"{self.bits.dtype}{list(self.bits.shape)}"
            raise ValueError(f"a mask of shape {self.shape} is uint8[{length}], not {found}")
        if padding and self.bits[-1] & ((1 << padding) - 1):
            raise ValueError(f"a mask of shape {self.shape} has bits beyond its {self.size}")
        self.bits.flags.writeable = False

    @staticmethod
    def from_bool(array: NDArray[np.bool_]) -> Mask:
        """Pack a boolean array of any memory layout; True is kept."""
        if array.dtype != np.bool_:
            raise TypeError(f"a mask is made of booleans, not of {array.dtype}")
        columns = array.ndim == 2 and array.flags.f_contiguous and not array.flags.c_contiguous
        if columns and array.shape[1] % 8 == 0:
            return Mask(array.shape, _pack_columns(array))
        return Mask(array.shape, np.packbits(array, axis=None))

    @staticmethod
    def full(shape: tuple[int, ...]) -> Mask:
        """The mask that keeps everything."""
        return ~Mask(shape, np.zeros(-(-math.prod(shape) // 8), dtype=np.uint8))

    def to_bool(self) -> NDArray[np.bool_]:
        """Unpack to a boolean array of `shape` in C order, the caller's own."""
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
        """Whether everything kept here is kept there; `ValueError` if shapes differ."""
        return not np.any(self.bits & ~self._with(other))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return self.shape == other.shape and bool(np.array_equal(self.bits, other.bits))

    def __hash__(self) -> int:
        return hash((self.shape, self.bits.tobytes()))


def _pack_columns(array: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """`np.packbits` of a Fortran-ordered matrix, many times faster: bits first, then transpose."""
    columns = array.T.view(np.uint8).reshape(array.shape[1] // 8, 8, array.shape[0])
    packed = columns[:, 0] << 7
    for bit in range(1, 8):
        packed |= columns[:, bit] << np.uint8(7 - bit)
    return np.ascontiguousarray(packed.T).reshape(-1)


def stream(seed: int, name: str) -> np.random.Generator:
    """A random stream of its own for each (seed ≥ 0, layer name)."""
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype="<u4")
    return np.random.Generator(np.random.PCG64([seed, *map(int, words)]))


def shuffle(mask: Mask, seed: int, name: str) -> Mask:
    """A random permutation of a mask: as many kept, anywhere in the layer.

    It keeps the highest of random numbers, one a weight. They are raw PCG64 output, which numpy
    promises never to change; of `Generator.permutation` it does not.
    """
    raw = stream(seed, name).bit_generator.random_raw(-(-mask.size // 2))
    keys = raw.astype("<u8", copy=False).view("<u4")[: mask.size].reshape(mask.shape)
    return Mask.from_bool(keep_best(keys, mask.kept))


def save_masks(path: Path, masks: Mapping[str, Mask]) -> None:
    """Write masks to a safetensors file, bits and shape of each; equal masks give equal bytes.

    Raises `OSError` if the file cannot be written.
    """
    from safetensors.numpy import save

    bits = {f"bits/{name}": mask.bits for name, mask in masks.items()}
    shapes = {f"shape/{n}": np.array(mask.shape, dtype=np.int64) for n, mask in masks.items()}
    path.write_bytes(save(bits | shapes))


def load_masks(path: Path) -> dict[str, Mask]:
    """Read what `save_masks` wrote."""
    from safetensors.numpy import load_file

    tensors = load_file(path)
    names = [key.removeprefix("bits/") for key in tensors if key.startswith("bits/")]
    return {
        name: Mask(tuple(map(int, tensors[f"shape/{name}"])), tensors[f"bits/{name}"])
        for name in names
    }
