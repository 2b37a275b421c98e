"""What a pattern says of itself: which layers it fits, what it counts, what it keeps of scores."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from lottoc.masks.allocate import Shape, schedule

if TYPE_CHECKING:
    from lottoc.masks.permute import Order
    from lottoc.masks.select import Bools, Scores
    from lottoc.signature import Layer


@dataclass(frozen=True)
class Pattern(ABC):
    """What a mask may look like; the fields of its dataclass are its options in the language.

    Shapes are canonical, [out, in, *kernel], with no dimension 0. Recipes are checked with all
    of it but `keep`, `keep_together` and `holds`, so only these import numpy.
    """

    name: ClassVar[str]
    """As a recipe writes it."""
    examples: ClassVar[tuple[str, ...]]
    """Patterns of this kind as a recipe writes them, the most usual one first."""
    needs: ClassVar[str] = ""
    """What the options without a default say."""
    misfit_code: ClassVar[str] = ""
    """The code of the diagnostic for a layer that it does not fit."""
    ranks_together: ClassVar[bool] = False
    """Whether `scope = global` ranks the layers together; if not, `counts` is asked."""

    @classmethod
    def options(cls) -> list[str]:
        """The names of its fields."""
        return [field.name for field in dataclasses.fields(cls)]

    def __str__(self) -> str:
        said = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            text = str(value).lower()
            if field.default is dataclasses.MISSING:
                said.append(text)
            elif value != field.default:
                said.append(f"{field.name} = {text}")
        return f"{self.name}({', '.join(said)})" if said else self.name

    @property
    def density(self) -> Fraction | None:
        """The share that every mask keeps; None if the recipe says it."""
        return None

    @property
    def in_order(self) -> Pattern | None:
        """What holds once axis 1 is in the order that comes with a mask; None if none comes."""
        return None

    def misfit(self, shape: Shape) -> str | None:
        """Why no mask of this shape can be such, in words that follow "the layer: "."""
        return None

    def unfit(self, layer: Layer) -> tuple[str, str] | None:
        """The code of the diagnostic for a layer that it cannot prune, and why, in such words."""
        reason = self.misfit(layer.shape)
        return None if reason is None else (self.misfit_code, reason)

    def rounds(self, density: Fraction, count: int) -> list[tuple[Fraction, Pattern]]:
        """How `count` ≥ 1 rounds approach a density; the last is that density and this pattern."""
        return [(1 - sparsity, self) for sparsity in schedule(1 - density, count)]

    def at_least(self, shape: Shape) -> int:
        """So many weights a layer keeps at the least, whatever is asked for."""
        return 0

    @abstractmethod
    def counts(self, scope: str, shapes: Sequence[Shape], density: Fraction) -> list[int]:
        """How many weights each layer keeps; `scope` is global only unless `ranks_together`."""

    def total(self, shapes: Sequence[Shape], kept: int) -> int | None:
        """How many weights layers keep that are ranked together, if that is known beforehand."""
        return kept

    @abstractmethod
    def impossible(self, shape: Shape, kept: int) -> str | None:
        """Why no mask of a fitting shape keeps exactly so many weights; None if one does."""

    @abstractmethod
    def keep(self, scores: Scores, kept: int, within: Bools | None = None) -> Bools:
        """The best mask of `kept` weights, among those `within`; equal scores keep the lower.

        Raises `NonFiniteScores`, and `ValueError` where `within` leaves too few.
        """

    def keep_in(
        self, order: Order, scores: Scores, kept: int, within: Bools | None = None
    ) -> Bools:
        """`keep` for a pattern that holds `in_order`: position j of the order is channel order[j].

        Raises `ValueError` for a mask that is not what it should be, `within` being at fault.
        """
        import numpy as np

        pattern = self.in_order
        assert pattern is not None
        part = None if within is None else within[:, order]
        ordered = pattern.keep(scores[:, order], kept, part)
        if not pattern.holds(ordered):
            raise ValueError(f"the earlier mask has no mask of pattern {self} in it")
        mask = np.empty_like(ordered)
        mask[:, order] = ordered
        return mask

    def keep_together(
        self, scores: Sequence[Scores], kept: int, within: Sequence[Bools] | None = None
    ) -> Iterator[Bools]:
        """The best masks of layers ranked together; equal scores keep the earlier layer."""
        raise NotImplementedError(f"{self} counts layer by layer")

    @abstractmethod
    def holds(self, mask: Bools) -> bool:
        """Whether a mask of a fitting shape is such; may be asked of layouts other than C."""


def channels(shape: Sequence[int]) -> str:
    """What the inputs and outputs of a layer with a weight of this shape are called."""
    return "features" if len(shape) == 2 else "channels"
