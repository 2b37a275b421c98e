"""N:M where the members of a group lie side by side in memory: m booleans are one word of m bytes.

Arithmetic on whole words counts, for all members of many groups at a time, how many others each one
beats; no byte ever carries over into the next.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZES = frozenset({2, 4, 8})
"""Groups that make a word."""

_CHUNK = 1 << 15
"""Words looked at together."""


def fits(array: NDArray[Any], m: int) -> bool:
    """Whether axis 1 is the one along which the array lies in memory, in one piece."""
    alone = all(length == 1 for length in array.shape[2:])
    return m in SIZES and alone and array.flags.c_contiguous


def rank_neighbours(scores: NDArray[Any], n: int, m: int, result: NDArray[np.bool_]) -> None:
    """Write which `n` of every `m` consecutive scores are highest; a tie keeps the earlier one.

    `scores` [k·m] is float32 or float64 without NaN, `result` its mask to be.
    """
    word, ones = _word(m)
    wins = result.view(word)
    wins[...] = ones * (128 - (m - n))  # with m - n wins, the highest bit of a byte is set
    beats: NDArray[np.bool_] = np.zeros(scores.size, np.bool_)
    words = beats.view(word)
    for distance in range(1, m):
        pairs = word.type(ones >> 8 * distance)  # of members that have one so far behind them
        np.greater_equal(scores[:-distance], scores[distance:], out=beats[:-distance])
        np.bitwise_and(words, pairs, out=words)
        np.add(wins, words, out=wins)
        np.subtract(pairs, words, out=words)
        np.left_shift(words, word.type(8 * distance), out=words)
        np.add(wins, words, out=wins)
    np.right_shift(wins, word.type(7), out=wins)
    np.bitwise_and(wins, word.type(ones), out=wins)


def all_keep(mask: NDArray[np.bool_], n: int, m: int) -> bool:
    """Whether each group of a mask that `fits` keeps `n`."""
    word, ones = _word(m)
    words = mask.reshape(-1).view(word)
    for start in range(0, words.size, _CHUNK):
        counts = words[start : start + _CHUNK] * word.type(ones)  # the highest byte is the sum
        if (counts >> word.type(8 * (m - 1)) != n).any():
            return False
    return True


def _word(m: int) -> tuple[np.dtype[Any], int]:
    """Words of m bytes, the first member lowest, and the word whose bytes are all 1."""
    return np.dtype(f"<u{m}"), sum(1 << 8 * member for member in range(m))
