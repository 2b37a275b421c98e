"""Parts of a data set: some of its classes, or a share of its examples drawn by lot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lottoc.diagnostics import input_error
from lottoc.fields import OptionError, at_least, build

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lottoc.ir.plain import Plain


@dataclass(frozen=True)
class ByClass:
    """The examples of some classes, of every split; their ids stay what they were."""

    classes: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.classes or min(self.classes) < 0 or len({*self.classes}) != len(self.classes):
            raise ValueError(f"classes are ids from 0 on, each once, not {list(self.classes)}")

    def plain(self) -> dict[str, Plain]:
        """As IR holds it."""
        return {"classes": list(self.classes)}

    def rows(self, y: NDArray[np.int64], split: str) -> NDArray[np.int64]:
        """Positions in `y` [n] of the examples that are in the part, in their order.

        Raises `InputError` (part-empty).
        """
        import numpy as np

        found = np.flatnonzero(np.isin(y, self.classes))
        if not found.size:
            classes = ", ".join(map(str, self.classes))
            message = f"no example of {split} is of the classes {classes}"
            help = ("name classes that the data has, as  by_class([0..4], [5..9])",)
            raise input_error("part-empty", message, help=help)
        return found


@dataclass(frozen=True)
class ByShare:
    """Share number `share`, from 1 to `of`, of the training examples; all of every other split.

    Shares are drawn by lot and disjoint, and differ by one example at most.
    """

    share: int
    of: int
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(self, share=1, of=2, seed=0)
        if self.share > self.of:
            raise ValueError(f"share {self.share} of {self.of}")

    def plain(self) -> dict[str, Plain]:
        """As IR holds it."""
        return {"share": self.share, "of": self.of, "seed": self.seed}

    def rows(self, y: NDArray[np.int64], split: str) -> NDArray[np.int64]:
        """Positions in `y` [n] of the examples that are in the part, in their order.

        Raises `InputError` (part-empty).
        """
        import numpy as np

        if split != "train":
            return np.arange(len(y))
        # raw output of the generator, which numpy promises never to change
        keys = np.random.PCG64(self.seed).random_raw(len(y))
        found = np.sort(np.argsort(keys, kind="stable")[self.share - 1 :: self.of])
        if not found.size:
            message = f"{len(y)} examples of {split} do not make {self.of} parts"
            raise input_error("part-empty", message, help=("ask for fewer parts",))
        return found


Part = ByClass | ByShare


def part_of(plain: Mapping[str, Any]) -> Part:
    """The part that IR holds; raises `OptionError` if it is none."""
    if not {"classes", "share"} & set(plain):
        raise OptionError("a part is {classes = [0, 1]} or {share = 1, of = 3, seed = 0}")
    return build(ByClass, plain) if "classes" in plain else build(ByShare, plain)
