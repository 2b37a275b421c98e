"""The code of masks that keep exactly two of every four weights along an axis.

There are six ways to do that, and 6 ** 3 = 216 for three groups of four: a byte holds twelve
weights, 0.67 bits each, where log2(6) / 4 = 0.65 is the least that any code can do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]

WAYS = [tuple(int(place in kept) for place in range(4)) for kept in combinations(range(4), 2)]
GROUPS = 3
"""In a byte."""


def grid_of(mask: Bools, dims: Sequence[int]) -> tuple[int, int] | None:
    """(pre, post) such that the flat mask, as [pre, 4, post], keeps two along the middle axis.

    The last axis of `dims` that will do; None if there is none.
    """
    for axis in reversed(range(len(dims))):
        if dims[axis] and dims[axis] % 4 == 0:
            post = math.prod(dims[axis + 1 :])
            groups = mask.reshape(-1, 4, post)
            if post and bool(np.all(np.count_nonzero(groups, axis=1) == 2)):
                return len(groups), post
    return None


def encode(mask: Bools, grid: tuple[int, int]) -> NDArray[np.uint8]:
    """The codes of a flat mask, three groups of four a byte; the last byte may be padded."""
    pre, post = grid
    fours = mask.reshape(pre, 4, post).transpose(0, 2, 1).reshape(-1, 4)
    nibbles = fours @ np.array([8, 4, 2, 1], np.uint8)
    number = np.zeros(16, np.uint8)
    number[np.array(WAYS, np.uint8) @ np.array([8, 4, 2, 1], np.uint8)] = range(len(WAYS))
    codes = np.zeros(-(-len(fours) // GROUPS) * GROUPS, np.uint8)
    codes[: len(fours)] = number[nibbles]
    return codes.reshape(-1, GROUPS) @ np.array([36, 6, 1], np.uint8)


def table() -> NDArray[np.uint8]:
    """[216, 12]: the mask that each code stands for."""
    ways = np.array(WAYS, np.uint8)
    code = np.arange(len(ways) ** GROUPS)
    return np.concatenate([ways[code // 36], ways[code // 6 % 6], ways[code % 6]], axis=1)


def decode(codes: NDArray[np.uint8], grid: tuple[int, int]) -> Bools:
    """The flat mask again; raises `ValueError` for codes that stand for none."""
    pre, post = grid
    known = table()
    if codes.size != -(-pre * post // GROUPS) or int(codes.max(initial=0)) >= len(known):
        raise ValueError(f"{codes.size} codes for {4 * pre * post} weights")
    flat = known[codes].reshape(-1)[: 4 * pre * post]
    mask: Bools = flat.reshape(pre, post, 4).transpose(0, 2, 1).reshape(-1).astype(np.bool_)
    return mask
