"""Times models beside each other in onnxruntime: interleaved, in one process, medians.

All sessions of the process share one pool of threads. With a pool each, the idle workers of one
session go on spinning while another is timed, and with as many threads as cores they take its
time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx.apart import Ended, call_apart
from lottoc.backends.onnx.trial import CannotMakeUp, Setting, make_inputs
from lottoc.diagnostics import InputError, input_error

LEAST_SECONDS = 0.005
"""A sample is repeated until it lasts about so long: clocks and caches blur shorter ones."""


@dataclass(frozen=True)
class Timing:
    """Medians in seconds of one run each, for one batch size and thread count.

    `error` is the largest difference of an output, `relative` that over the largest output.
    """

    batch: int
    threads: int
    dense: float
    compiled: float
    error: float
    relative: float

    @property
    def speedup(self) -> float:
        """How many times faster the compiled model is."""
        return self.dense / self.compiled


def bench(
    dense: Path,
    compiled: Path,
    *,
    batches: Sequence[int] = (1,),
    threads: Sequence[int] = (1,),
    length: int = 128,
    samples: int = 15,
) -> Iterator[Timing]:
    """Time two models on made-up inputs; one `Timing` for each batch size and thread count.

    `length` fills in open dimensions other than the first. Raises `InputError`: `bench-failed` if a
    model does not load or run on such inputs, `bench-mismatch` if they take different inputs.
    """
    for count in threads:
        for batch in batches:
            try:
                yield call_apart(_timing, (dense, compiled), Setting(batch, length), count, samples)
            except Ended as error:
                raise _failed(compiled, f"cannot be timed at batch {batch}", error) from error


def share_threads(threads: int) -> None:
    """Give this process its pool of threads; once, before the first session."""
    import onnxruntime

    onnxruntime.set_global_thread_pool_sizes(threads, 1)


def session(model: Path | bytes) -> Any:
    """A session that works in the process's pool, without onnxruntime's warnings."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.use_per_session_threads = False
    options.log_severity_level = 4
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def medians(
    sessions: Mapping[str, Any], feed: Mapping[str, NDArray[np.generic]], samples: int
) -> dict[str, float]:
    """Seconds a run, for each session; they take turns."""
    repeats = {}
    for name, each in sessions.items():
        took = 1.0
        for _ in range(3):
            start = time.perf_counter()
            each.run(None, feed)
            took = min(took, time.perf_counter() - start)
        repeats[name] = max(1, int(LEAST_SECONDS / took))
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(samples):
        for name, each in sessions.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                each.run(None, feed)
            times[name].append((time.perf_counter() - start) / repeats[name])
    return {name: statistics.median(values) for name, values in times.items()}


def _timing(paths: tuple[Path, Path], setting: Setting, threads: int, samples: int) -> Timing:
    share_threads(threads)
    sessions = [_open(path) for path in paths]
    names = [", ".join(sorted(item.name for item in each.get_inputs())) for each in sessions]
    if names[0] != names[1]:
        raise input_error(
            "bench-mismatch",
            f"{paths[1].name} takes {names[1]}, {paths[0].name} takes {names[0]}",
            help=("compare a compiled model with the model that it was compiled from",),
        )
    try:
        inputs = make_inputs(sessions[0].get_inputs(), setting)
    except CannotMakeUp as error:
        raise _failed(paths[0], "cannot be given inputs", error) from error
    outputs = []
    for each, path in zip(sessions, paths, strict=True):
        try:
            outputs.append(each.run(None, inputs))
        except Exception as error:
            raise _failed(path, f"does not run at batch {setting.batch}", error) from error
    taken = medians(dict(zip(("dense", "compiled"), sessions, strict=True)), inputs, samples)
    difference, largest = _difference(*outputs)
    relative = difference / largest if largest else difference
    return Timing(setting.batch, threads, taken["dense"], taken["compiled"], difference, relative)


def _open(path: Path) -> Any:
    try:
        return session(path)
    except Exception as error:
        raise _failed(path, "does not load", error) from error


def _failed(path: Path, what: str, error: Exception) -> InputError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return input_error("bench-failed", f"{path.name} {what}: {reason}", file=str(path))


def _difference(
    first: Sequence[NDArray[np.generic]], second: Sequence[NDArray[np.generic]]
) -> tuple[float, float]:
    error = largest = 0.0
    for a, b in zip(first, second, strict=True):
        if a.dtype.kind == "f" and a.shape == b.shape and a.size:
            wide = a.astype(np.float64)
            error = max(error, float(np.abs(wide - b.astype(np.float64)).max()))
            largest = max(largest, float(np.abs(wide).max()))
    return error, largest
