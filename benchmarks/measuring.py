"""What the timing benchmarks share: a process for each number of threads, and where they ran."""

from __future__ import annotations

import multiprocessing
import os
import platform
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import onnxruntime

from lottoc.backends.onnx.bench import share_threads

Result = TypeVar("Result")


def with_threads(threads: int, measure: Callable[..., Result], *arguments: object) -> Result:
    """What `measure` gives in a process whose sessions share so many threads."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, share_threads, (threads,)) as process:
        return process.submit(measure, *arguments).result()


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "onnxruntime": onnxruntime.__version__,
    }
