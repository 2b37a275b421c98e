"""Speed of SparseGPT and Wanda on single layers, beside the published algorithms' cost and sgemm.

    python benchmarks/layerwise_speed.py --sizes 1024 2048 4096

Sizes that the result file has already stay in it. The published codes run on torch; what they do
is rebuilt here from their papers' description with torch's own routines on the same CPU: a Cholesky
factor, its inverse, the factor of that, then a loop over columns in blocks of 128 (SparseGPT); a
sort of each row (Wanda). sgemm is numpy's. Rates count the published algorithm's work: 4/3 n³ for
the factors, out · n² for the updates.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measuring import machine

RESULTS = Path(__file__).parent / "results"


def best(call: Callable[[], Any], times: int) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def published_sparsegpt(weight: Any, hessian: Any, nm: tuple[int, int] | None) -> Any:
    """Frantar & Alistarh 2023, algorithm 1."""
    import torch

    w, h = weight.clone(), hessian.clone()
    columns = w.shape[1]
    index = torch.arange(columns)
    h[index, index] += 0.01 * torch.mean(torch.diag(h))
    upper = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    for start in range(0, columns, 128):
        stop = min(start + 128, columns)
        block, u = w[:, start:stop].clone(), upper[start:stop, start:stop]
        pruned, errors = torch.zeros_like(block), torch.zeros_like(block)
        mask = torch.zeros_like(block, dtype=torch.bool)
        if nm is None:
            score = block**2 / torch.diag(u).reshape(1, -1) ** 2
            limit = torch.sort(score.flatten())[0][int(score.numel() * 0.5)]
            mask = score <= limit
        for i in range(stop - start):
            if nm is not None and i % nm[1] == 0:
                m = nm[1]
                score = block[:, i : i + m] ** 2 / torch.diag(u)[i : i + m].reshape(1, -1) ** 2
                lowest = torch.topk(score, m - nm[0], dim=1, largest=False)[1]
                mask.scatter_(1, i + lowest, True)
            q = block[:, i].clone()
            q[mask[:, i]] = 0
            pruned[:, i] = q
            error = (block[:, i] - q) / u[i, i]
            block[:, i:] -= error.unsqueeze(1).matmul(u[i, i:].unsqueeze(0))
            errors[:, i] = error
        w[:, start:stop] = pruned
        w[:, stop:] -= errors.matmul(upper[start:stop, stop:])
    return w


def published_wanda(weight: Any, norms: Any, nm: tuple[int, int] | None) -> Any:
    """Sun et al. 2024, algorithm 1."""
    import torch

    metric = torch.abs(weight) * norms.reshape(1, -1)
    mask = torch.zeros_like(metric, dtype=torch.bool)
    if nm is None:
        order = torch.sort(metric, dim=-1, stable=True)[1]
        mask.scatter_(1, order[:, : metric.shape[1] // 2], True)
    else:
        n, m = nm
        for i in range(0, metric.shape[1], m):
            lowest = torch.topk(metric[:, i : i + m], m - n, dim=1, largest=False)[1]
            mask.scatter_(1, i + lowest, True)
    return weight.masked_fill(mask, 0)


def ours(weight: Any, hessian: Any, squares: Any, name: str, nm: tuple[int, int] | None) -> Any:
    from lottoc.criteria.wanda import Wanda
    from lottoc.layerwise.choice import Count, NOfM
    from lottoc.layerwise.sweep import sweep
    from lottoc.masks.fanin import keep_per_row
    from lottoc.masks.select import keep_n_of_m
    from lottoc.signature import Layer

    if name == "sparsegpt":
        half = Count(weight.size // 2, weight.size)
        return sweep(weight, hessian, NOfM(*nm) if nm else half).weight
    scores = Wanda().score(weight, Layer("l", "linear", weight.shape), squares)
    half = weight.shape[1] // 2
    return weight * (keep_n_of_m(scores, *nm) if nm else keep_per_row(scores, half))


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1024, 2048, 4096])
    parser.add_argument("--times", type=int, default=2)
    args = parser.parse_args()
    path = RESULTS / "layerwise_speed.json"
    before = json.loads(path.read_text())["rows"] if path.exists() else []
    rows = [row for row in before if row["size"] not in args.sizes]
    for n in args.sizes:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((2 * n, n), dtype=np.float32)
        x *= np.exp(rng.standard_normal(n)).astype(np.float32)
        hessian, weight = x.T @ x, rng.standard_normal((n, n), dtype=np.float32)
        squares = np.diag(hessian).astype(np.float64)
        sgemm = 2 * n**3 / best(partial(np.matmul, hessian, weight), 3) / 1e9
        tw, th, tn = (torch.from_numpy(a) for a in (weight, hessian, np.sqrt(squares)))
        for name in ("sparsegpt", "wanda"):
            for nm in (None, (2, 4)):
                mine = best(partial(ours, weight, hessian, squares, name, nm), args.times)
                given, call = (
                    (th, published_sparsegpt) if name == "sparsegpt" else (tn, published_wanda)
                )
                theirs = best(partial(call, tw, given, nm), 1)
                row = {
                    "size": n,
                    "criterion": name,
                    "pattern": f"{nm[0]}:{nm[1]}" if nm else "50 %",
                    "seconds": mine,
                    "published_seconds": theirs,
                    "times_as_fast": theirs / mine,
                    "sgemm_gflops": sgemm,
                }
                if name == "sparsegpt":
                    row["gflops"] = (4 / 3 + 1) * n**3 / mine / 1e9
                    row["share_of_sgemm"] = row["gflops"] / sgemm
                rows.append(row)
                print({k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()})
    rows.sort(key=lambda row: row["size"])
    result = {"machine": machine(), "torch_threads": torch.get_num_threads(), "rows": rows}
    path.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
