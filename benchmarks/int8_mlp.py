"""The MLP of examples/mlp in groups with int8 activations: accuracy and speed beside floats.

    python examples/lenet/prepare.py
    python benchmarks/int8_mlp.py make FOLDER [--length "600 steps"]
    python benchmarks/int8_mlp.py time FOLDER [--out benchmarks/results]

`make` trains and prunes 784-1024-1024-10 to 90 % in groups of 64 rows, as examples/mlp/mlp.lotto
does, and writes dense, groups and groups in int8, all open in their batch size, and groups for one
image at a time (`batch = fixed(1)`) in both. Ranges are from 256 training images; accuracy
is that of the test images in onnxruntime. `time` measures, the models in turn in one process,
medians.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from measuring import machine, with_threads

from lottoc.backends.onnx.bench import medians, session
from lottoc.diagnostics import Findings
from lottoc.driver import compile_recipe
from lottoc.engine.store import Store
from lottoc.front import Request
from lottoc.progress import Silent

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
MNIST = EXAMPLES / "lenet" / "mnist.npz"
RECIPE = """
model mlp { source = torch("MODEL:mlp") }
data mnist { train = npz("DATA", x = "x_train", y = "y_train") }
training adam { optimizer = adam(lr = 0.0012)   batch = 60   length = LENGTH }
ticket grouped {
  layers    = linear - "fc3"
  criterion = ria(a = 0.25)
  scope     = layerwise
  pattern   = groups(64)
  sparsity  = 90%
  method    = imp(rounds = 1, rewind = 100 steps, retrain = learning_rate)
}
emit onnx "dense.onnx"    { ticket = dense }
emit onnx "groups.onnx"   { ticket = grouped   format = groups }
emit onnx "int8.onnx" { ticket = grouped   format = groups   values = int8   activations = int8 }
emit onnx "groups-1.onnx" { ticket = grouped   format = groups   batch = fixed(1) }
emit onnx "int8-1.onnx" {
  ticket      = grouped
  format      = groups
  values      = int8
  activations = int8
  batch       = fixed(1)
}
"""
NAMES = ("dense", "groups", "int8", "groups-1", "int8-1")


def main() -> None:
    """Make or time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=["make", "time"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--length", default="600 steps")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.step == "make":
        made = make(arguments.folder.resolve(), arguments.length)
        print(json.dumps(made, indent=1))
        (arguments.folder / "made.json").write_text(json.dumps(made))
        return
    made = json.loads((arguments.folder / "made.json").read_text())
    before, cells = machine(), measure(arguments.folder)
    result = {"machine": before, **made, "cells": cells}
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "int8_mlp.json").write_text(json.dumps(result, indent=1) + "\n")


def make(folder: Path, length: str) -> dict[str, Any]:
    """Train, prune, write; bytes and accuracies."""
    text = RECIPE.replace("MODEL", str(EXAMPLES / "mlp" / "mlp.py")).replace("DATA", str(MNIST))
    (folder / "r.lotto").write_text(text.replace("LENGTH", length))
    request = Request(folder / "r.lotto", Store(folder / "store"), {}, Silent())
    compile_recipe(request, folder, Findings())
    with np.load(MNIST) as data:
        x, y = data["x_test"], data["y_test"]
    found: dict[str, Any] = {}
    for name in NAMES:
        path, size = folder / f"{name}.onnx", 1 if name.endswith("-1") else 250
        model = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        feed = model.get_inputs()[0].name
        parts = [x[start : start + size] for start in range(0, len(x), size)]
        scores = np.concatenate([model.run(None, {feed: part})[0] for part in parts])
        right = float((scores.argmax(axis=1) == y).mean())
        found[name] = {"bytes": path.stat().st_size, "accuracy": round(right, 4)}
    return {"length": length, "models": found}


def measure(folder: Path) -> list[dict[str, Any]]:
    """Microseconds of each model."""
    cells = []
    for threads in (1, 2):
        for batch in (1, 16, 128):
            names = [name for name in NAMES if batch == 1 or not name.endswith("-1")]
            paths = {name: folder / f"{name}.onnx" for name in names}
            seconds = with_threads(threads, timed, paths, batch)
            cells.append(
                {
                    "batch": batch,
                    "threads": threads,
                    "microseconds": {key: round(s * 1e6, 1) for key, s in seconds.items()},
                    "speedup": {k: round(seconds["dense"] / s, 2) for k, s in seconds.items()},
                }
            )
            line = "  ".join(f"{k} {s * 1e6:.0f} µs" for k, s in seconds.items())
            print(f"batch {batch}  threads {threads}:  {line}", flush=True)
    return cells


def timed(paths: dict[str, Path], batch: int) -> dict[str, float]:
    """Seconds a run of each model."""
    sessions = {key: session(path) for key, path in paths.items()}
    name = next(iter(sessions.values())).get_inputs()[0].name
    x = np.random.default_rng(0).random((batch, 784), np.float32)
    return medians(sessions, {name: x}, 31)


if __name__ == "__main__":
    main()
