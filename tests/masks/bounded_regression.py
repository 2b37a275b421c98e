"""The published channel permutation search, for comparison, written from its description.

Pool & Yu 2021, "Channel Permutations for N:M Sparsity" (NeurIPS), §4: of all pairs of stripes find
the division of their channels that improves most, apply the best non-overlapping ones, repeat
until nothing improves; then escape: exchange two random channels although it costs something,
continue greedily, keep the result if it is better in the end, and give up after a number of
attempts (their default: 100).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

M, N = 4, 2
SPLITS = [(0, *rest) for rest in combinations(range(1, 8), 3)]
SPLITS = [(*part, *(c for c in range(8) if c not in part)) for part in SPLITS]
TWOS = list(combinations(range(8), 2))
FOURS = np.array(SPLITS).reshape(-1, 4)
LEFT, RIGHT = (
    np.array([TWOS.index(tuple(sorted(pair))) for pair in part])
    for part in (FOURS[:, :2].tolist(), FOURS[:, 2:].tolist())
)


def kept(columns: NDArray[np.float32]) -> float:
    """What 2:4 keeps of [channels, rows]."""
    stripes = columns.reshape(-1, M, columns.shape[1])
    return float(np.sort(stripes, axis=1)[:, M - N :].sum(dtype=np.float64))


def splits_kept(columns: NDArray[np.float32]) -> NDArray[np.float64]:
    """What each of the 35 splits keeps of [8, rows].

    The two largest of a, b, c, d sum to max(a + b, c + d, max(a, b) + max(c, d)).
    """
    first, second = np.array(TWOS).T
    sums = columns[first] + columns[second]
    highest = np.maximum(columns[first], columns[second])
    values = np.maximum(np.maximum(sums[LEFT], sums[RIGHT]), highest[LEFT] + highest[RIGHT])
    result: NDArray[np.float64] = values.sum(axis=1, dtype=np.float64).reshape(-1, 2).sum(axis=1)
    return result


class BoundedRegression:
    """Keeps the best division of every pair of stripes, and looks again at pairs that changed."""

    def __init__(self, matrix: NDArray[np.float32], seed: int = 0) -> None:
        self.columns = np.ascontiguousarray(matrix.T)
        self.order = np.arange(len(self.columns))
        self.count = len(self.columns) // M
        self.gains = np.zeros((self.count, self.count))
        self.best = np.zeros((self.count, self.count), np.int64)
        self.rng = np.random.default_rng(seed)

    def look(self, first: int, second: int) -> None:
        at = self._places(first, second)
        columns = self.columns[self.order[at]]
        values = splits_kept(columns)
        self.best[first, second] = int(np.argmax(values))
        self.gains[first, second] = values.max() - values[0]

    def _places(self, first: int, second: int) -> NDArray[np.int64]:
        return np.r_[first * M : first * M + M, second * M : second * M + M]

    def greedy(self, stale: set[int]) -> None:
        while stale:
            for first in range(self.count):
                for second in range(first + 1, self.count):
                    if first in stale or second in stale:
                        self.look(first, second)
            stale = set()
            for flat in np.argsort(-self.gains, axis=None):
                first, second = divmod(int(flat), self.count)
                if self.gains[first, second] <= 1e-6:
                    break
                if first not in stale and second not in stale:
                    at = self._places(first, second)
                    self.order[at] = self.order[at][list(SPLITS[self.best[first, second]])]
                    stale |= {first, second}

    def run(self, escapes: int = 100) -> NDArray[np.int64]:
        self.greedy(set(range(self.count)))
        best, best_order = kept(self.columns[self.order]), self.order.copy()
        saved = (self.gains.copy(), self.best.copy())
        for _ in range(escapes):
            first, second = self.rng.choice(self.count, 2, replace=False)
            i, j = first * M + self.rng.integers(M), second * M + self.rng.integers(M)
            self.order[[i, j]] = self.order[[j, i]]
            self.greedy({int(first), int(second)})
            value = kept(self.columns[self.order])
            if value > best:
                best, best_order = value, self.order.copy()
                saved = (self.gains.copy(), self.best.copy())
            else:
                self.order = best_order.copy()
                self.gains, self.best = saved[0].copy(), saved[1].copy()
        return best_order
