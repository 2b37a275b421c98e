"""`permuted(2, 4)`: N of every M once the input channels are in an order that suits the scores."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from lottoc.masks.patterns.nm import NofM
from lottoc.masks.patterns.pattern import Pattern

if TYPE_CHECKING:
    from lottoc.masks.select import Bools, Scores


@dataclass(frozen=True)
class Permuted(NofM):
    """Exactly `n` of every `m` weights that are consecutive in some order of axis 1 are kept.

    Masks themselves stay in the network's own order. A layer whose channels cannot be put in
    another order keeps N:M as they are.
    """

    name: ClassVar[str] = "permuted"
    examples: ClassVar[tuple[str, ...]] = ("permuted(2, 4)",)
    needs: ClassVar[str] = "how many of how many are kept"

    def __str__(self) -> str:
        return f"{self.name}({self.n}, {self.m})"

    @property
    def in_order(self) -> Pattern:
        """Plain N:M."""
        return NofM(self.n, self.m)

    def rounds(self, density: Fraction, count: int) -> list[tuple[Fraction, Pattern]]:
        """As N:M does."""
        plain = super().rounds(density, count)
        return [(each, Permuted(p.n, p.m)) for each, p in plain if isinstance(p, NofM)]

    def keep(self, scores: Scores, kept: int, within: Bools | None = None) -> Bools:
        """The N highest of every M in the order that is found for this layer alone."""
        from lottoc.masks.permute import search_order
        from lottoc.masks.select import check_finite

        check_finite(scores)
        return self.keep_in(search_order(scores, self.n, self.m), scores, kept, within)

    def holds(self, mask: Bools) -> bool:
        """What is so in every order: each row keeps N / M of its channels at each place."""
        of_each = mask.sum(axis=1, dtype="uint32")
        return bool((of_each == mask.shape[1] // self.m * self.n).all())
