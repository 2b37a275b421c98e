"""Memory and time of sparsegpt on ONNX models of growing depth, weights outside the model file.

    python benchmarks/layerwise_memory.py --width 1024 --depths 4 8 16 32
    python benchmarks/layerwise_memory.py --width 4096 --depths 4 8 34 --rows 512 --emit
                                                                # the last is over 2 GB

Depths that a result file of the same settings has already stay in it, so that they can be measured
one at a time. Each depth is compiled in a process of its own, whose peak of memory is told; pages
of the model file that the system may drop at any time are counted apart.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring import machine

RESULTS = Path(__file__).parent / "results"


def write_model(path: Path, width: int, depth: int) -> int:
    """A chain of square layers with random weights, in external data; gives its bytes."""
    import onnx
    from onnx import TensorProto, helper

    rng = np.random.default_rng(0)
    nodes, weights, value = [], [], "rows"
    data = path.with_suffix(".data")
    with data.open("wb") as file:
        for number in range(depth):
            name = f"layer{number}.weight"
            weight = rng.standard_normal((width, width), dtype=np.float32)
            weight /= np.float32(np.sqrt(width))
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=weight.shape)
            tensor.data_location = TensorProto.EXTERNAL
            for key, said in (
                ("location", data.name),
                ("offset", str(file.tell())),
                ("length", str(weight.nbytes)),
            ):
                tensor.external_data.add(key=key, value=said)
            file.write(weight.tobytes())
            weights.append(tensor)
            nodes.append(helper.make_node("MatMul", [value, name], [f"y{number}"], name=name))
            nodes.append(helper.make_node("Tanh", [f"y{number}"], [f"t{number}"]))
            value = f"t{number}"
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "chain",
        [info("rows", TensorProto.FLOAT, ["n", width])],
        [info(value, TensorProto.FLOAT, ["n", width])],
        weights,
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return data.stat().st_size


CHILD = """
import json, resource, sys, threading, time
from pathlib import Path
from lottoc.diagnostics import Findings
from lottoc.driver import compile_recipe
from lottoc.engine.store import Store
from lottoc.front import Request
from lottoc.progress import Silent
folder, peak = Path(sys.argv[1]), [0]

def watch():
    while True:
        for line in open("/proc/self/status"):
            if line.startswith("RssAnon"):
                peak[0] = max(peak[0], int(line.split()[1]))
        time.sleep(0.02)

threading.Thread(target=watch, daemon=True).start()
start = time.perf_counter()
request = Request(folder / "r.lotto", Store(folder / "store"), {}, Silent())
compile_recipe(request, folder / "out", Findings())
seconds = time.perf_counter() - start
own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
others = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
megabytes = {"own_mb": peak[0] / 1024, "with_mapped_mb": own / 1024, "children_mb": others / 1024}
print(json.dumps({"seconds": seconds, **megabytes}))
"""


def measured_before(path: Path, settings: dict[str, Any], depths: list[int]) -> list[Any]:
    """Rows of the same settings, but those that are to be measured now."""
    if not path.exists():
        return []
    before = json.loads(path.read_text())
    same = before.get("settings") == settings
    return [row for row in before["rows"] if row["depth"] not in depths] if same else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--depths", type=int, nargs="*", default=[4, 8, 16, 32])
    parser.add_argument("--rows", type=int, default=2048, help="calibration rows")
    parser.add_argument("--criterion", default="sparsegpt")
    parser.add_argument("--emit", action="store_true", help="write the pruned model as well")
    args = parser.parse_args()
    settings = {key: value for key, value in vars(args).items() if key != "depths"}
    path = RESULTS / f"layerwise_memory_{args.width}.json"
    rows = measured_before(path, settings, args.depths)
    for depth in args.depths:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            size = write_model(folder / "m.onnx", args.width, depth)
            x = np.random.default_rng(1).standard_normal((args.rows, args.width), np.float32)
            np.savez(folder / "c.npz", x=x)
            emit = 'emit onnx "pruned.onnx" { ticket = t }\n' if args.emit else ""
            (folder / "r.lotto").write_text(
                'model m { source = onnx("m.onnx") }\n'
                'data c { calibration = npz("c.npz", rows = "x") }\n'
                f"ticket t {{ layers = linear   criterion = {args.criterion}   pattern = 2:4 }}\n"
                + emit
            )
            command = [sys.executable, "-c", CHILD, name]
            start = time.perf_counter()
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            row = json.loads(done.stdout.splitlines()[-1])
            row |= {"depth": depth, "model_mb": size / 1e6, "wall": time.perf_counter() - start}
        rows.append(row)
        print({key: round(number, 1) for key, number in row.items()}, flush=True)
    rows.sort(key=lambda row: row["depth"])
    result = {"machine": machine(), "settings": settings, "rows": rows}
    path.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
