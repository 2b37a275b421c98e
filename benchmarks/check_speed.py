"""How long `lottoc check` takes: a typical recipe, and one of 1,000 lines with 200 tickets.

    python benchmarks/check_speed.py [--repeats 5]

Times the real command in a child process, from its start to its end, over a small ONNX model.
Writes `results/check_speed.json`: the median and the least of the repeats, in seconds. The targets
are half a second for the typical recipe and a second for the long one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from lenet_curve import machine

ROOT = Path(__file__).resolve().parents[1]
LAYERS = 12

TYPICAL = """\
param target = 90%

model net { source = onnx("net.onnx") }

ticket pruned {
  layers    = linear - "fc11"
  criterion = magnitude
  scope     = global
  sparsity  = target
}

ticket half { layers = linear   pattern = 2:4 }

require collapse(pruned) == none
require pruned.sparsity >= target - 1%

emit onnx "pruned.onnx" { ticket = pruned }
emit onnx "half.onnx"   { ticket = half }
"""


def long_recipe(tickets: int = 200, lines: int = 1000) -> str:
    """Tickets of every kind that needs no training, padded with comments to a number of lines."""
    parts = ["param target = 90%", "", 'model net { source = onnx("net.onnx") }', ""]
    for i in range(tickets // 2):
        parts += [
            f"# Ticket {i}.",
            f"ticket a{i} {{",
            f'  layers    = linear - "fc{i % LAYERS}" | "fc{(i + 1) % LAYERS}"',
            "  criterion = magnitude",
            f"  scope     = {('global', 'layerwise', 'erk')[i % 3]}",
            f"  sparsity  = {i % 99 + 1}%",
            "}",
            f"ticket b{i} {{ layers = linear & size(>= {i})   pattern = 2:4 }}",
            f'emit onnx "a{i}.onnx" {{ ticket = a{i}   format = packed }}',
        ]
    parts += [f"# line {number}" for number in range(len(parts) + 1, lines + 1)]
    return "\n".join(parts) + "\n"


def model(path: Path) -> None:
    """A chain of linear layers, 64 features each."""
    from onnx import TensorProto, helper, numpy_helper, save

    draw = np.random.default_rng(0)
    nodes, weights, value = [], [], "x"
    for i in range(LAYERS):
        weight = draw.normal(size=(64, 64)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"fc{i}.weight"))
        nodes.append(helper.make_node("Gemm", [value, f"fc{i}.weight"], [f"h{i}"], transB=1))
        value = f"h{i}"
    ends = [helper.make_tensor_value_info(v, TensorProto.FLOAT, ["n", 64]) for v in ("x", value)]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], weights)
    opsets = [helper.make_opsetid("", 18)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


def seconds(repeats: int, *arguments: str | Path) -> dict[str, float]:
    """Median and least time of the command, after one run that warms the disk's cache."""
    command = [sys.executable, "-m", "lottoc.cli", *arguments]
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return {"median": round(statistics.median(times[1:]), 3), "least": round(min(times[1:]), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model(folder / "net.onnx")
        (folder / "typical.lotto").write_text(TYPICAL)
        (folder / "long.lotto").write_text(long_recipe())
        result = {
            "machine": machine(),
            "typical": seconds(repeats, "check", folder / "typical.lotto"),
            "1000 lines, 200 tickets": seconds(repeats, "check", folder / "long.lotto"),
            "check --help, for comparison": seconds(repeats, "check", "--help"),
        }
    path = ROOT / "benchmarks" / "results" / "check_speed.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
