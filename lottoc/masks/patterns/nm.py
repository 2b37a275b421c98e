"""`2:4`: N of every M neighbours along the reduction dimension."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from lottoc.masks.allocate import Shape
from lottoc.masks.patterns.pattern import Pattern, channels

if TYPE_CHECKING:
    from lottoc.masks.select import Bools, Scores


@dataclass(frozen=True)
class NofM(Pattern):
    """Exactly `n` of every `m` consecutive weights along axis 1 are kept."""

    n: int
    m: int
    name: ClassVar[str] = "N:M"
    examples: ClassVar[tuple[str, ...]] = ("2:4", "1:4", "4:8")
    misfit_code: ClassVar[str] = "nm-axis"

    def __post_init__(self) -> None:
        if not 0 < self.n <= self.m:
            raise ValueError(f"{self} must keep between 1 and {self.m} of every {self.m}")

    def __str__(self) -> str:
        return f"{self.n}:{self.m}"

    @property
    def density(self) -> Fraction:
        """N / M."""
        return Fraction(self.n, self.m)

    def misfit(self, shape: Shape) -> str | None:
        """Every M must tile axis 1."""
        if shape[1] % self.m == 0:
            return None
        return f"its input has {shape[1]} {channels(shape)}, not a multiple of {self.m}"

    def rounds(self, density: Fraction, count: int) -> list[tuple[Fraction, Pattern]]:
        """Fewer of every M, in equal steps to the nearest."""
        pruned = [(i * (self.m - self.n) + count // 2) // count for i in range(1, count + 1)]
        return [(Fraction(self.m - p, self.m), NofM(self.m - p, self.m)) for p in pruned]

    def counts(self, scope: str, shapes: Sequence[Shape], density: Fraction) -> list[int]:
        """N / M of each layer, under every scope."""
        return [self._count(shape) for shape in shapes]

    def at_least(self, shape: Shape) -> int:
        """All that it keeps."""
        return self._count(shape)

    def impossible(self, shape: Shape, kept: int) -> str | None:
        """No other count than N / M."""
        count = self._count(shape)
        if kept == count:
            return None
        return f"{self} keeps {count} of {math.prod(shape)} weights, not {kept}"

    def keep(self, scores: Scores, kept: int, within: Bools | None = None) -> Bools:
        """The N highest of every M."""
        from lottoc.masks.select import keep_n_of_m

        return keep_n_of_m(scores, self.n, self.m, within)

    def holds(self, mask: Bools) -> bool:
        """N of every M, at each place of a kernel."""
        from lottoc.masks.words import all_keep, fits

        if fits(mask, self.m):
            return all_keep(mask, self.n, self.m)
        out, inputs, *kernel = mask.shape
        small = "uint8" if self.m < 256 else "uint32"
        of_each = mask.reshape(out, inputs // self.m, self.m, *kernel).sum(axis=2, dtype=small)
        return bool((of_each == self.n).all())

    def _count(self, shape: Shape) -> int:
        return math.prod(shape) // self.m * self.n
