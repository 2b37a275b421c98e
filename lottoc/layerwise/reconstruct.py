"""Prunes a network layer by layer, each seeing what the pruned layers before it make.

Frantar & Alistarh 2023, §4.1, and Sun et al. 2024, §3, walk through transformer blocks this way;
here a step is as fine as the walk's stages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lottoc.diagnostics import input_error
from lottoc.layerwise.factor import SingularHessian
from lottoc.layerwise.moments import Moment, measure
from lottoc.layerwise.walk import Batch, Walk
from lottoc.masks.patterns import Pattern
from lottoc.masks.select import NonFiniteScores
from lottoc.progress import Advance


@dataclass(frozen=True)
class Solved:
    """A pruned layer: its new weight, [out, in] and zero where pruned, and its mask."""

    weight: NDArray[Any]
    mask: NDArray[np.bool_]


class Solver(Protocol):
    """Prunes one layer, given moments of its inputs."""

    def moment(self, size: int) -> Moment:
        """What it wants to know of the inputs."""

    def solve(
        self, weight: NDArray[Any], moment: NDArray[Any], pattern: Pattern, kept: int
    ) -> Solved:
        """Keep exactly `kept` weights of an [out, in] weight, in the pattern."""


class Finished(Protocol):
    """Layers that an earlier run has solved already."""

    def __contains__(self, layer: object) -> bool:
        """Whether a layer is among them."""

    def load(self, layer: str) -> Solved:
        """What came of it."""

    def save(self, solved: Mapping[str, Solved]) -> None:
        """Keep what came of a stage."""


def _new_weight(finished: Finished, layer: str) -> NDArray[Any]:
    return finished.load(layer).weight


@contextmanager
def _explained(layer: str) -> Iterator[None]:
    try:
        yield
    except (NonFiniteScores, SingularHessian) as error:
        raise input_error(
            "not-finite",
            f'layer "{layer}" cannot be pruned: its weights are NaN or infinite',
            help=["look for NaN or infinite weights in the model"],
        ) from error


def reconstruct(
    walk: Walk,
    batches: Sequence[Batch],
    kept: Mapping[str, int],
    pattern: Pattern,
    solver: Solver,
    weight: Callable[[str], NDArray[Any]],
    finished: Finished,
    advance: Advance,
) -> None:
    """Solve every layer of `kept`, in the order data flows, and save it.

    Raises `InputError`: activations-not-finite, layer-reused.
    """
    for name in kept:
        if walk.runs(name) > 1:
            raise input_error(
                "layer-reused",
                f'layer "{name}" runs more than once: its weights cannot be changed in between',
                help=[f'leave it out with  layers = … - "{name}", or use  criterion = wanda'],
            )
    for stage in walk.stages(list(kept), batches):
        names = [name for group in stage.groups.values() for name in group]
        if not all(name in finished for name in names):
            solved = {}
            for group, moment in measure(stage, solver.moment).items():
                mean = moment.mean()
                for name in stage.groups[group]:
                    with _explained(name):
                        solved[name] = solver.solve(weight(name), mean, pattern, kept[name])
            finished.save(solved)
        for name in names:
            stage.replace(name, partial(_new_weight, finished, name))
        advance(1)
