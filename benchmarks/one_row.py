"""How onnxruntime picks channels fastest: Gather, or GatherElements, for one row and for many.

    python benchmarks/one_row.py [--out benchmarks/results]

1,248 of 784 channels, what an MLP's first layer reads in 16 groups, on one thread. Gather works
on channel-major values, as groups do for many rows; GatherElements on rows, its places repeated
(Expand) for as many rows as come, as groups do in models for one row alone. Times are medians of
single runs, the call included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from measuring import machine
from onnx import TensorProto, helper, numpy_helper

CHANNELS, PICKED, RUNS = 784, 1248, 2000


def model(op: str) -> bytes:
    """One way of picking."""
    places = np.random.default_rng(0).integers(0, CHANNELS, PICKED).astype(np.int32)
    constants = [numpy_helper.from_array(places if op == "Gather" else places[None], "places")]
    if op == "Gather":
        nodes, shape = [helper.make_node(op, ["x", "places"], ["y"], axis=1)], [1, CHANNELS, "rows"]
    else:
        shape = ["rows", CHANNELS]
        constants.append(numpy_helper.from_array(np.array([1]), "one"))
        nodes = [
            helper.make_node("Shape", ["x"], ["rows"], start=0, end=1),
            helper.make_node("Concat", ["rows", "one"], ["shape"], axis=0),
            helper.make_node("Expand", ["places", "shape"], ["each"]),
            helper.make_node(op, ["x", "each"], ["y"], axis=1),
        ]
    graph = helper.make_graph(
        nodes,
        "pick",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    made: bytes = onnx.shape_inference.infer_shapes(proto).SerializeToString()
    return made


def timed(op: str, rows: int) -> float:
    """Microseconds a run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model(op), options, ["CPUExecutionProvider"])
    shape = (1, CHANNELS, rows) if op == "Gather" else (rows, CHANNELS)
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output("y")
    taken = []
    for _ in range(RUNS):
        start = time.perf_counter()
        session.run_with_iobinding(binding)
        taken.append(time.perf_counter() - start)
    return round(1e6 * statistics.median(taken[RUNS // 10 :]), 1)


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    cells = [
        {"rows": rows, **{op: timed(op, rows) for op in ("Gather", "GatherElements")}}
        for rows in (1, 16, 128)
    ]
    for cell in cells:
        print(cell)
    result = {"machine": machine(), "microseconds": cells}
    (arguments.out / "one_row.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
