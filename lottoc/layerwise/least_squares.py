"""Kept weights that make up for all the others at once, where many outputs keep the same inputs.

For inputs S that an output keeps, ‖(ŵ - w)X‖² is least at ŵ_S = (w H)_S H_SS⁻¹, H = XXᵀ: one linear
system for each set S. A sweep lets a pruned weight be made up for by the inputs after it only; it
is for masks of which every output has its own (Frantar & Alistarh, "SparseGPT", 2023, §3.1-3.2).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.layerwise.blas import each, one_thread_a_call, tiles
from lottoc.layerwise.factor import Factor


def least_squares(
    weight: NDArray[Any], hessian: NDArray[np.floating], mask: NDArray[np.bool_], factor: Factor
) -> NDArray[np.float64]:
    """The best weight [out, in] under a mask, zero where pruned.

    `factor` is of the Hessian [in, in], and says how much damping it took; with none, inputs may
    depend on one another, and of all best weights the smallest are taken. Outputs with equal masks
    are solved together. Equal on any number of threads.
    """
    _, family = np.unique(np.packbits(mask, axis=1), axis=0, return_inverse=True)
    rows = [np.flatnonzero(family.reshape(-1) == group) for group in range(family.max() + 1)]
    found = np.zeros(weight.shape)

    def work(some: slice) -> None:
        for members in rows[some]:
            kept = np.flatnonzero(mask[members[0]])
            own = np.asarray(weight[members], np.float64)
            target = own @ np.asarray(hessian[:, kept], np.float64) + own[:, kept] * extra[kept]
            system = np.asarray(hessian[np.ix_(kept, kept)], np.float64)
            np.einsum("ii->i", system)[:] += extra[kept]
            found[np.ix_(members, kept)] = solved(system, target.T).T

    extra, precision = factor.added, np.finfo(hessian.dtype).eps

    def solved(system: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[Any]:
        if factor.damping:
            return np.linalg.solve(system, target)
        smallest = float(len(system) * precision)
        return np.linalg.lstsq(system, target, rcond=smallest)[0]

    with one_thread_a_call():
        each(work, tiles(len(rows), 1))
    return found
