"""Times programs beside each other in torch: interleaved, in one process, medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree

from lottoc.backends.fx.contents import make_input, open_program
from lottoc.backends.onnx.bench import LEAST_SECONDS, Timing
from lottoc.diagnostics import InputError, input_error


def bench(
    dense: Path,
    compiled: Path,
    *,
    batches: Sequence[int] = (1,),
    threads: Sequence[int] = (1,),
    samples: int = 15,
) -> Iterator[Timing]:
    """Time two programs on made-up inputs; one `Timing` for each batch size and thread count.

    Raises `InputError`: model-not-found, fx-invalid, `bench-failed` if one does not run on such
    inputs, `bench-mismatch` if they take different inputs.
    """
    programs = [open_program(path)[0] for path in (dense, compiled)]
    inputs = [make_input(program, 2) for program in programs]
    if inputs[0].shape != inputs[1].shape or inputs[0].dtype != inputs[1].dtype:
        shapes = [f"{list(x.shape[1:])} {x.dtype}" for x in inputs]
        raise input_error(
            "bench-mismatch",
            f"{compiled.name} takes examples of {shapes[1]}, {dense.name} of {shapes[0]}",
            help=("compare a compiled model with one of  emit fx  with  format = dense",),
        )
    modules = [program.module() for program in programs]
    before = torch.get_num_threads()
    try:
        for count in threads:
            torch.set_num_threads(count)
            for batch in batches:
                x = make_input(programs[0], batch)
                yield _timing(modules, (dense, compiled), x, count, samples)
    finally:
        torch.set_num_threads(before)


def _timing(
    modules: Sequence[Any], paths: Sequence[Path], x: torch.Tensor, threads: int, samples: int
) -> Timing:
    outputs, repeats = [], 1
    times: list[list[float]] = [[], []]
    with torch.no_grad():
        for module, path in zip(modules, paths, strict=True):
            try:
                outputs.append(_pytree.tree_leaves(module(x)))
                start = time.perf_counter()
                module(x)
            except Exception as error:
                raise _failed(path, len(x), error) from error
            repeats = max(repeats, int(LEAST_SECONDS / (time.perf_counter() - start)))
        for _ in range(samples):
            for module, seconds in zip(modules, times, strict=True):
                start = time.perf_counter()
                for _ in range(repeats):
                    module(x)
                seconds.append((time.perf_counter() - start) / repeats)
    pairs = [(a.double(), b.double()) for a, b in zip(*outputs, strict=True) if torch.is_tensor(a)]
    worst = max((float((a - b).abs().max()) for a, b in pairs), default=0.0)
    largest = max((float(a.abs().max()) for a, _ in pairs), default=0.0)
    first, second = (statistics.median(seconds) for seconds in times)
    return Timing(len(x), threads, first, second, worst, worst / largest if largest else worst)


def _failed(path: Path, batch: int, error: Exception) -> InputError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    message = f"{path.name} does not run at batch {batch}: {reason}"
    return input_error("bench-failed", message, file=str(path))
