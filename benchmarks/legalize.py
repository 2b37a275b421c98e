"""Times making a 4096×4096 float32 layer 2:4, against copying its weight twice and against onnxsim.

    python benchmarks/legalize.py [--out benchmarks/results]

Timed is what the engine does to scores: choose two of every four along axis 1 (`keep_n_of_m`),
check the mask against its pattern, pack it to bits. `weight` has the scoring before it (|w|, into
a fresh array). `stored` is the same for a weight that the file holds as [in, out], as ONNX's MatMul
does. A copy is `np.copyto` into an array that is there already. onnxsim prunes a model that is one
such layer. All take turns in one process, on one thread; the figures are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxsim
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lottoc.masks.mask import Mask
from lottoc.masks.patterns.nm import NofM

SIZE = 4096
SAMPLES = 15


def legalize(scores: NDArray[np.float32]) -> Mask:
    """As the engine evaluates `mask.keep`."""
    pattern = NofM(2, 4)
    mask = pattern.keep(scores, scores.size // 2)
    assert pattern.holds(mask)
    return Mask.from_bool(mask)


def one_layer(weight: NDArray[np.float32]) -> onnx.ModelProto:
    """A model that is one Gemm."""
    outputs, inputs = weight.shape
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", outputs])],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def main() -> None:
    """Print medians in milliseconds, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    weight = np.random.default_rng(0).standard_normal((SIZE, SIZE)).astype(np.float32)
    scores, stored = np.abs(weight), np.abs(weight.T.copy()).T
    first, second, model = np.empty_like(weight), np.empty_like(weight), one_layer(weight)

    def copies() -> None:
        np.copyto(first, weight)
        np.copyto(second, weight)

    work: dict[str, Callable[[], Any]] = {
        "two copies": copies,
        "scores": lambda: legalize(scores),
        "stored": lambda: legalize(stored),
        "weight": lambda: legalize(np.abs(weight)),
        "copies again": copies,
    }
    times: dict[str, list[float]] = {name: [] for name in [*work, "onnxsim"]}
    for sample in range(SAMPLES):
        for name, each in work.items():
            start = time.perf_counter()
            each()
            times[name].append(1000 * (time.perf_counter() - start))
        if sample % 5 == 0:  # it takes seconds
            start = time.perf_counter()
            onnxsim.prune_magnitude_cpp(model, n=2, m=4)
            times["onnxsim"].append(1000 * (time.perf_counter() - start))
    medians = {name: round(statistics.median(values), 2) for name, values in times.items()}
    ratios = {name: round(value / medians["two copies"], 2) for name, value in medians.items()}
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxsim": onnxsim.__version__,
    }
    result = {"machine": machine, "shape": [SIZE, SIZE], "ms": medians, "of two copies": ratios}
    (arguments.out / "legalize.json").write_text(json.dumps(result, indent=1) + "\n")
    for name, value in medians.items():
        print(f"{name:14}{value:9.1f} ms {ratios[name]:8.2f}")


if __name__ == "__main__":
    main()
