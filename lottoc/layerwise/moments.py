"""Second moments of what layers are given, summed batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lottoc.diagnostics import input_error
from lottoc.layerwise.blas import each, one_thread_a_call, tiles
from lottoc.layerwise.walk import Batch, Stage, Walk
from lottoc.progress import Advance

_ROWS = 1024
"""Rows that are squared at a time."""
_TOGETHER = 512
"""Rows that are multiplied together: fewer would read and write the whole sum for little."""


class Moment(Protocol):
    """A sum over rows that is added to."""

    count: int
    """Rows so far."""

    def add(self, rows: NDArray[np.float32]) -> None:
        """Add some rows, [rows, in]."""

    def mean(self) -> NDArray[Any]:
        """The sum over the number of rows."""


M = TypeVar("M", bound=Moment)


class Squares:
    """Mean of x² of every input, [in] float64: the squared norm of Wanda over the tokens."""

    def __init__(self, size: int) -> None:
        self.total, self.count = np.zeros(size), 0

    def add(self, rows: NDArray[np.float32]) -> None:
        """Sums in float64, so that the order of rows hardly matters."""
        for part in tiles(len(rows), _ROWS):
            self.total += np.square(rows[part], dtype=np.float64).sum(axis=0)
        self.count += len(rows)

    def mean(self) -> NDArray[np.float64]:
        """Zero where there were no rows."""
        mean: NDArray[np.float64] = self.total / max(self.count, 1)
        return mean


class Gram:
    """Mean of x xᵀ, [in, in] float32, half the Hessian of ‖ΔW X‖² a row."""

    def __init__(self, size: int) -> None:
        self.total, self.count = np.zeros((size, size), np.float32), 0
        self._waiting = np.empty((_TOGETHER, size), np.float32)
        self._waits = 0

    def add(self, rows: NDArray[np.float32]) -> None:
        """Adds XᵀX, the upper half of it; sums are the same however rows are cut."""
        self.count += len(rows)
        while len(rows):
            some = rows[: _TOGETHER - self._waits]
            self._waiting[self._waits : self._waits + len(some)] = some
            self._waits, rows = self._waits + len(some), rows[len(some) :]
            if self._waits == _TOGETHER:
                self._multiply()

    def _multiply(self) -> None:
        rows, self._waits = self._waiting[: self._waits], 0

        def work(band: slice) -> None:
            self.total[band, band.start :] += rows[:, band].T @ rows[:, band.start :]

        with one_thread_a_call(), np.errstate(over="ignore", invalid="ignore"):
            each(work, tiles(rows.shape[1]))

    def mean(self) -> NDArray[np.float32]:
        """The whole matrix; ends the summation."""
        self._multiply()
        del self._waiting
        self.total *= np.float32(1 / max(self.count, 1))
        for band in tiles(len(self.total)):
            self.total[band.start :, band] = self.total[band, band.start :].T
        return self.total


def measure(stage: Stage, make: Callable[[int], M]) -> dict[str, M]:
    """Moments of the inputs of a stage, by group. Raises `InputError`: activations-not-finite."""
    moments: dict[str, M] = {}

    def observe(group: str, rows: NDArray[np.float32]) -> None:
        if group not in moments:
            moments[group] = make(rows.shape[1])
        _check_finite(rows, stage.groups[group])
        moments[group].add(rows)

    stage.observe(observe)
    return moments


def _check_finite(rows: NDArray[np.float32], layers: Sequence[str]) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.add.reduce(rows, axis=None, dtype=np.float64)):
            return
    if not np.isfinite(rows).all():
        raise input_error(
            "activations-not-finite",
            f'layer "{layers[0]}" is given an input that is NaN or infinite',
            help=[
                "look for NaN or infinite numbers in the model's weights or in the data",
                "a model in float16 may overflow: use its float32 or bfloat16 weights",
            ],
        )


def measure_all(
    walk: Walk,
    layers: Sequence[str],
    batches: Sequence[Batch],
    make: Callable[[int], M],
    advance: Advance,
    turn: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
) -> Mapping[str, NDArray[Any]]:
    """What `turn` makes of the moments of every layer's inputs; the network runs once.

    Layers that are given the same share the array. Of a layer that runs several times, moments
    are those of all its inputs together, and are held until the end.
    """
    found: dict[str, NDArray[Any]] = {}
    rows: dict[str, int] = {}
    again = _repeated(walk, layers)
    for stage in walk.stages(layers, batches):
        for group, moment in measure(stage, make).items():
            mean, count = moment.mean(), moment.count
            once = turn(mean) if turn is not None else mean
            for layer in stage.groups[group]:
                if layer not in again:
                    found[layer] = once
                    continue
                before = rows.get(layer, 0)
                rows[layer] = before + count
                share = count / max(rows[layer], 1)
                found[layer] = found[layer] * (1 - share) + mean * share if before else mean
        advance(1)
    if turn is not None:
        found |= {layer: turn(found[layer]) for layer in again & found.keys()}
    return found


def _repeated(walk: Walk, layers: Sequence[str]) -> set[str]:
    """Layers that more than one group has."""
    return {layer for layer in layers if walk.runs(layer) > 1}
