"""Times single linear layers in torch on this CPU: dense against `lottoc::csr_linear`.

    python benchmarks/torch_csr.py [--out benchmarks/results] [--target torch-cpu.toml]

For each shape, share of kept weights (anywhere), batch size and thread count both run in turn in
one process; the figures are medians. Numbers of threads that the result file has already stay in
it. With `--target` they become the table by which
`emit fx { format = auto }` chooses between them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import machine
from torch.nn import functional

import lottoc.runtime  # noqa: F401 - registers the operators

SIZES = (256, 1024, 4096)
KEPT = (5, 20, 50, 100, 250)
"""Kept weights in a thousand."""
PLACES = (1, 16, 128)
LEAST_SECONDS = 0.004
OPS: Any = torch.ops.lottoc


def medians(calls: list[Callable[[], Any]], samples: int) -> list[float]:
    """Microseconds a call of each, interleaved."""
    repeats = []
    for call in calls:
        call()
        start = time.perf_counter()
        call()
        repeats.append(max(1, int(LEAST_SECONDS / (time.perf_counter() - start))))
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(samples):
        for call, count, seconds in zip(calls, repeats, times, strict=True):
            start = time.perf_counter()
            for _ in range(count):
                call()
            seconds.append((time.perf_counter() - start) / count)
    return [1e6 * statistics.median(seconds) for seconds in times]


def rows_of(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A weight as `csr_linear` takes it."""
    kept = weight != 0
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), kept.sum(1).cumsum(0)])
    return starts.int(), kept.nonzero()[:, 1].int(), weight[kept]


def cells(threads: int, samples: int) -> list[dict[str, Any]]:
    """Every cell with one number of threads."""
    torch.set_num_threads(threads)
    draw = torch.Generator().manual_seed(0)
    found = []
    for inputs, outputs in itertools.product(SIZES, SIZES):
        full = torch.randn(outputs, inputs, generator=draw)
        ranks = torch.rand(outputs, inputs, generator=draw)
        bias = torch.randn(outputs, generator=draw)
        weights = [torch.where(ranks < kept / 1000, full, 0.0) for kept in KEPT]
        stored = [rows_of(weight) for weight in weights]
        for places in PLACES:
            x = torch.randn(places, inputs, generator=draw)
            calls: list[Callable[[], Any]] = [lambda x=x: functional.linear(x, full, bias)]  # noqa: B023
            calls += [
                lambda x=x, parts=parts: OPS.csr_linear(x, *parts, bias, inputs)  # noqa: B023
                for parts in stored
            ]
            with torch.inference_mode(False), torch.no_grad():
                dense, *sparse = medians(calls, samples)
                for kept, weight, parts, took in zip(KEPT, weights, stored, sparse, strict=True):
                    expected = functional.linear(x, weight, bias)
                    actual = OPS.csr_linear(x, *parts, bias, inputs)
                    error = float((actual - expected).abs().max() / expected.abs().max())
                    found.append(
                        {
                            "threads": threads,
                            "inputs": inputs,
                            "outputs": outputs,
                            "kept": kept,
                            "places": places,
                            "dense": round(dense, 2),
                            "csr": round(took, 2),
                            "speedup": round(dense / took, 2),
                            "error": error,
                        }
                    )
    return found


def table(found: list[dict[str, Any]], key: str, axes: dict[str, tuple[int, ...]]) -> str:
    """A table of microseconds as TOML."""
    values = np.zeros([len(axis) for axis in axes.values()])
    for cell in found:
        values[tuple(axis.index(cell[name]) for name, axis in axes.items())] = cell[key]
    lines = [f"{name} = {list(axis)}" for name, axis in axes.items()]
    text = json.dumps(values.tolist()).replace("]], [[", "]],\n  [[")
    return "\n".join([f"[costs.{key}]", *lines, f"microseconds = {text}"])


def target(found: list[dict[str, Any]], where: dict[str, Any], counts: tuple[int, ...]) -> str:
    """The target file."""
    shape = {"inputs": SIZES, "outputs": SIZES}
    parts = [
        "# What linear layers take in torch, in microseconds; made by benchmarks/torch_csr.py.",
        "# `emit fx` with `format = auto` chooses by it between `dense` and `csr`.",
        'target  = "torch-cpu"',
        f'machine = "{where["cpu"]}"',
        f'runtime = "torch {torch.__version__}"',
        f"load    = {where['load']}",
    ]
    for threads in counts:
        own = [cell for cell in found if cell["threads"] == threads]
        parts += ["", "[[costs]]", f"threads = {threads}", ""]
        parts += [table(own, "dense", {**shape, "places": PLACES}), ""]
        parts += [table(own, "csr", {**shape, "kept": KEPT, "places": PLACES})]
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--target", type=Path)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--samples", type=int, default=5)
    arguments = parser.parse_args()
    path = arguments.out / "torch_csr.json"
    before = json.loads(path.read_text())["cells"] if path.exists() else []
    found = [cell for cell in before if cell["threads"] not in arguments.threads]
    where = machine() | {"torch": torch.__version__}
    for threads in arguments.threads:
        found += cells(threads, arguments.samples)
    found.sort(key=lambda cell: cell["threads"])
    counts = tuple(dict.fromkeys(cell["threads"] for cell in found))
    summary = {
        f"kept {kept / 10:g} %, {places} rows": [
            min(
                speeds := [
                    c["speedup"] for c in found if (c["kept"], c["places"]) == (kept, places)
                ]
            ),
            round(statistics.median(speeds), 2),
            max(speeds),
        ]
        for kept in KEPT
        for places in PLACES
    }
    result = {"machine": where, "speedup: least, median, most": summary, "cells": found}
    path.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.target:
        arguments.target.write_text(target(found, where, counts))
    for name, speeds in summary.items():
        print(f"{name:24} {speeds}")


if __name__ == "__main__":
    main()
