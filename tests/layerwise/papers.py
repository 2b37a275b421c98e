"""The published algorithms in plain float64 loops, written from the papers' equations."""

from __future__ import annotations

import numpy as np


def wanda_mask(weight, inputs, pruned_of_row=None, nm=None):
    """Sun et al. 2024, eq. (1) and §3: |W_ij| · ‖X_j‖₂, compared within each output row."""
    norms = np.sqrt((inputs.astype(np.float64) ** 2).sum(axis=0))
    score = np.abs(weight.astype(np.float64)) * norms
    mask = np.ones(weight.shape, bool)
    for row in range(weight.shape[0]):
        groups = [range(weight.shape[1])]
        drop = pruned_of_row
        if nm is not None:
            n, m = nm
            groups = [range(start, start + m) for start in range(0, weight.shape[1], m)]
            drop = m - n
        for group in groups:
            # of equal scores the later position goes first: lottoc's one rule for ties
            order = sorted(group, key=lambda j: (score[row, j], -j))
            mask[row, order[:drop]] = False
    return mask


def sparsegpt(weight, inputs, *, share=None, nm=None, damping=0.01, block=128):
    """Frantar & Alistarh 2023, algorithm 1, with H⁻¹ itself eliminated column by column.

    No Cholesky factor: after column j is fixed, the inverse of the rest of H is
    H⁻¹ - h hᵀ / h_j, h being column j of H⁻¹ (their eq. (5)).
    """
    w = weight.astype(np.float64).copy()
    rows, columns = w.shape
    hessian = 2 * inputs.astype(np.float64).T @ inputs.astype(np.float64)
    hessian[np.diag_indices(columns)] += damping * np.mean(np.diag(hessian))
    inverses = [np.linalg.inv(hessian)]
    for _ in range(columns - 1):
        h = inverses[-1]
        rest = h[1:, 1:] - np.outer(h[1:, 0], h[0, 1:]) / h[0, 0]
        inverses.append(rest)
    mask = np.ones(w.shape, bool)
    for start in range(0, columns, block):
        stop = min(start + block, columns)
        if share is not None:
            price = np.array([inverses[j][0, 0] for j in range(start, stop)])
            score = w[:, start:stop] ** 2 / price
            done = int(share * rows * stop + 1e-9) - int(share * rows * start + 1e-9)
            order = np.argsort(score.ravel(), kind="stable")[:done]
            chosen = np.ones(score.size, bool)
            chosen[order] = False
            mask[:, start:stop] = chosen.reshape(score.shape)
        for j in range(start, stop):
            if nm is not None and j % nm[1] == 0:
                n, m = nm
                price = np.array([inverses[k][0, 0] for k in range(j, j + m)])
                score = w[:, j : j + m] ** 2 / price
                for row in range(rows):
                    order = sorted(range(m), key=lambda k: (score[row, k], -k))
                    mask[row, [j + k for k in order[: m - n]]] = False
            h = inverses[j]
            error = np.where(mask[:, j], 0.0, w[:, j]) / h[0, 0]
            w[:, j:] -= np.outer(error, h[0])
            w[~mask[:, j], j] = 0.0
    return w * mask, mask


def output_error(weight, pruned, inputs):
    """‖(W - Ŵ) X‖² in float64, inputs [samples, in]."""
    change = (weight.astype(np.float64) - pruned.astype(np.float64)) @ inputs.astype(np.float64).T
    return float((change**2).sum())


def obs_costs(weight, hessian):
    """Hassibi & Stork 1993: w_q² / (2 [H⁻¹]_qq)."""
    return weight**2 / (2 * np.diag(np.linalg.inv(hessian)))


def obs_update(weight, hessian, removed):
    """Hassibi & Stork 1993, for a set: δw = -H⁻¹_{:,S} (H⁻¹_{SS})⁻¹ w_S."""
    inverse = np.linalg.inv(hessian)
    inner = np.linalg.inv(inverse[np.ix_(removed, removed)])
    return weight - inverse[:, removed] @ inner @ weight[removed]
