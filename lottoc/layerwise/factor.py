"""The upper factor of the inverse of a Hessian: H⁻¹ = UᵀU, which is all that a sweep needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lottoc.layerwise.blas import each, one_thread_a_call, tiles

Floats = NDArray[np.float64]
_PANEL = 256
_MOST_DAMPING = 1e6
LEAST_DAMPING = 0.01
"""What damping begins with where none was asked for and none is not enough."""


class SingularHessian(ValueError):
    """No damping within reason makes the Hessian invertible."""


@dataclass(frozen=True)
class Factor:
    """U with H⁻¹ = UᵀU, upper triangular, and the damping that was needed.

    U_ii² is [H_F⁻¹]_ii for the inputs F = {i, i+1, …}: the price of input i once all before it are
    fixed (Frantar & Alistarh, "SparseGPT", 2023, §3.2).
    """

    _turned: NDArray[np.float32]
    """U turned by half a circle, lower triangular."""
    damping: float
    dead: NDArray[np.bool_]
    """Inputs that were zero throughout."""
    added: NDArray[np.floating]
    """What damping added to the diagonal of H."""

    @property
    def size(self) -> int:
        """Number of inputs."""
        return len(self._turned)

    def block(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        """A block of U."""
        n = self.size
        turned = self._turned[n - rows.stop : n - rows.start, n - columns.stop : n - columns.start]
        return np.ascontiguousarray(turned[::-1, ::-1])

    def diagonal(self) -> NDArray[np.float64]:
        """U_ii of every input."""
        return np.diagonal(self._turned)[::-1].astype(np.float64)

    def inverse_diagonal(self) -> NDArray[np.float64]:
        """[H⁻¹]_ii of every input, which is ‖U e_i‖²."""
        squares = np.zeros(self.size)
        for rows in tiles(self.size):
            squares += np.square(self._turned[rows], dtype=np.float64).sum(axis=0)
        return squares[::-1]


def inverse_factor(
    hessian: NDArray[np.floating], damping: float, order: NDArray[np.int64] | None = None
) -> Factor:
    """Factor H + damping · mean(diag H) · I, inputs taken in the given order.

    An input that is zero throughout gets the diagonal of the mean one, so that nothing is divided
    by zero. Where H stays singular, damping is raised tenfold, from `LEAST_DAMPING` if it was
    zero. H is factored in float64; the factor, whose condition is the root of that of H, is
    inverted in float32. Memory is one matrix of each beside H. Raises `SingularHessian`.
    """
    order = np.arange(len(hessian)) if order is None else order
    diagonal = np.diagonal(hessian).astype(np.float64)[order]
    dead = diagonal <= 0
    mean = float(diagonal.mean()) if len(diagonal) else 0.0
    scale = mean if mean > 0 else 1.0
    while damping <= _MOST_DAMPING:
        turned = _turned(hessian, order)
        added = damping * scale + dead * scale
        np.einsum("ii->i", turned)[:] += added[::-1]
        try:
            with one_thread_a_call():
                _cholesky(turned)
                factor = turned.astype(np.float32)
                del turned
                _invert(factor)
        except np.linalg.LinAlgError:
            damping = 10 * damping if damping else LEAST_DAMPING
            continue
        return Factor(factor, damping, dead, added)
    raise SingularHessian


def _turned(hessian: NDArray[np.floating], order: NDArray[np.int64]) -> NDArray[np.float64]:
    """H with its rows and columns from last to first: the Cholesky factor comes out as U⁻ᵀ."""
    turned = np.empty(hessian.shape, np.float64)
    back, n = order[::-1], len(turned)
    as_is = bool((order == np.arange(n)).all())

    def work(rows: slice) -> None:
        if as_is:
            turned[rows] = hessian[n - rows.stop : n - rows.start][::-1, ::-1]
        else:
            turned[rows] = hessian[back[rows]][:, back]

    each(work, tiles(n))
    return turned


def _cholesky(a: NDArray[np.float64]) -> None:
    """Replace the lower triangle of a symmetric matrix by its Cholesky factor, panel by panel.

    Looks left: a panel is written once, after all that it depends on, as one long product.
    """
    for panel in tiles(len(a), _PANEL):
        start, stop = panel.start, panel.stop
        done = a[panel, :start].T

        def update(
            rows: slice, start: int = start, panel: slice = panel, done: Floats = done
        ) -> None:
            rows = slice(start + rows.start, start + rows.stop)
            a[rows, panel] -= a[rows, :start] @ done

        if start:
            each(update, tiles(len(a) - start))
        a[panel, panel] = np.linalg.cholesky(a[panel, panel])
        if not np.isfinite(a[panel, panel]).all():
            raise np.linalg.LinAlgError
        below = np.linalg.inv(a[panel, panel]).T.astype(np.float64)

        def solve(
            rows: slice, stop: int = stop, panel: slice = panel, below: Floats = below
        ) -> None:
            rows = slice(stop + rows.start, stop + rows.stop)
            a[rows, panel] = a[rows, panel] @ below

        each(solve, tiles(len(a) - stop))


def _invert(a: NDArray[np.float32]) -> None:
    """Replace a lower triangular matrix by its inverse, a band of rows at a time."""
    for band in tiles(len(a), _PANEL):
        left, corner = a[band, : band.start].copy(), np.tril(np.linalg.inv(np.tril(a[band, band])))

        def work(
            columns: slice,
            band: slice = band,
            left: NDArray[np.float32] = left,
            corner: NDArray[np.float32] = corner,
        ) -> None:
            known = a[columns.start : band.start, columns]
            a[band, columns] = -(corner @ (left[:, columns.start :] @ known))

        each(work, tiles(band.start))
        a[band, band] = corner
        a[band, band.stop :] = 0
