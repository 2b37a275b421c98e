"""Times models beside each other in onnxruntime: interleaved, in one process, medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx.trial import CannotMakeUp, Setting, make_inputs
from lottoc.diagnostics import InputError, input_error

LEAST_SECONDS = 0.002
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
        sessions = [_session(path, count) for path in (dense, compiled)]
        names = [sorted(item.name for item in session.get_inputs()) for session in sessions]
        if names[0] != names[1]:
            raise input_error(
                "bench-mismatch",
                f"{compiled.name} takes {', '.join(names[1])}, "
                f"{dense.name} takes {', '.join(names[0])}",
                help=("compare a compiled model with the model that it was compiled from",),
            )
        for batch in batches:
            yield _timing(sessions, (dense, compiled), Setting(batch, length), count, samples)


def _session(path: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    # a session's workers would otherwise go on spinning while another session is timed
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise _failed(path, "does not load", error) from error


def _failed(path: Path, what: str, error: Exception) -> InputError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return input_error("bench-failed", f"{path.name} {what}: {reason}", file=str(path))


def _timing(
    sessions: Sequence[Any], paths: Sequence[Path], setting: Setting, threads: int, samples: int
) -> Timing:
    try:
        inputs = make_inputs(sessions[0].get_inputs(), setting)
    except CannotMakeUp as error:
        raise _failed(paths[0], "cannot be given inputs", error) from error
    outputs, repeats = [], 1
    for session, path in zip(sessions, paths, strict=True):
        try:
            outputs.append(session.run(None, inputs))
            start = time.perf_counter()
            session.run(None, inputs)
        except Exception as error:
            raise _failed(path, f"does not run at batch {setting.batch}", error) from error
        repeats = max(repeats, int(LEAST_SECONDS / (time.perf_counter() - start)))
    times: list[list[float]] = [[], []]
    for _ in range(samples):
        for session, seconds in zip(sessions, times, strict=True):
            start = time.perf_counter()
            for _ in range(repeats):
                session.run(None, inputs)
            seconds.append((time.perf_counter() - start) / repeats)
    difference, largest = _difference(*outputs)
    dense, compiled = (statistics.median(seconds) for seconds in times)
    relative = difference / largest if largest else difference
    return Timing(setting.batch, threads, dense, compiled, difference, relative)


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
