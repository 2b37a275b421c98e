"""Images changed by lot before each step: `augment = [flip, crop(4)]`.

What befalls an image depends on the training's seed and the step alone, as everything does that a
step draws. Source of both: He et al. 2016, "Deep Residual Learning for Image Recognition", §4.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Protocol

from lottoc.diagnostics import input_error
from lottoc.fields import at_least

if TYPE_CHECKING:
    import numpy as np
    import torch

_STREAM = 0x617567
"""Sets these random numbers apart from those that order the data."""


class Change(Protocol):
    """One way to change a batch of images [n, channels, height, width]."""

    def __call__(self, images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """New images of the same shape and type."""


@dataclass(frozen=True)
class Flip:
    """Mirrors every second image, by lot, left to right."""

    def __call__(self, images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Each image by itself."""
        import torch

        mirrored = torch.from_numpy(rng.random(len(images)) < 0.5)
        return torch.where(mirrored[:, None, None, None], images.flip(3), images)


@dataclass(frozen=True)
class Crop:
    """Puts `padding` zeros around every image and cuts one of its own size out, anywhere.

    There are fewer than an image is high or wide: something of it is always left.
    """

    padding: int

    def __post_init__(self) -> None:
        at_least(self, padding=1)

    def __call__(self, images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Each image by itself."""
        import torch
        from torch.nn import functional

        count, channels, height, width = images.shape
        corners = torch.from_numpy(rng.integers(0, 2 * self.padding + 1, (2, count, 1)))
        rows, columns = (c + torch.arange(s) for c, s in zip(corners, (height, width), strict=True))
        image, channel = torch.arange(count), torch.arange(channels)
        wide = functional.pad(images, (self.padding,) * 4)
        return wide[
            image[:, None, None, None],
            channel[None, :, None, None],
            rows[:, None, :, None],
            columns[:, None, None, :],
        ]


AUGMENTS: Mapping[str, type[Flip] | type[Crop]] = {"flip": Flip, "crop": Crop}


def parse(text: str) -> Change:
    """What `flip` or `crop(4)` means; raises `ValueError` for anything else."""
    found = re.fullmatch(r"(\w+)(?:\((\d+)\))?", text)
    kind = AUGMENTS.get(found[1]) if found else None
    if found is None or kind is None:
        raise ValueError(f'there is no "{text}" of images, but {" and ".join(AUGMENTS)}')
    numbers = [int(found[2])] if found[2] else []
    if len(numbers) != len(fields(kind)):
        raise ValueError(f'"{text}" has {len(numbers)} numbers, not {len(fields(kind))}')
    return kind(*numbers)


def spelt(change: Change) -> str:
    """The text that `parse` reads."""
    name = next(name for name, kind in AUGMENTS.items() if isinstance(change, kind))
    numbers = ", ".join(map(str, vars(change).values()))
    return f"{name}({numbers})" if numbers else name


def augmented(
    images: torch.Tensor, changes: Sequence[Change], seed: int, step: int
) -> torch.Tensor:
    """A step's batch, changed in the order of `changes`; without any it is the batch itself."""
    if not changes:
        return images
    import numpy as np

    rng = np.random.Generator(np.random.PCG64([_STREAM, seed, step]))
    for change in changes:
        images = change(images, rng)
    return images


def check_images(shape: Sequence[int], changes: Sequence[Change]) -> None:
    """Raise `InputError` (augment-unsuited) for examples [n, …] that cannot be changed so."""
    if len(shape) != 4:
        raise input_error(
            "augment-unsuited",
            f"examples of shape {list(shape[1:])} are no images [channels, height, width]",
            help=("leave out augment, or give the data that shape",),
        )
    _, _, height, width = shape
    most = min(height, width) - 1
    for change in changes:
        if isinstance(change, Crop) and change.padding > most:
            raise input_error(
                "augment-unsuited",
                f"{spelt(change)} may leave nothing of an image of {height} by {width}",
                help=(f"write at most crop({most})" if most else "leave out crop",),
            )
