"""EfficientNet-Lite0 in groups with int8 activations beside floats: why `auto` leaves it in floats.

    python examples/efficientnet/prepare.py
    python benchmarks/int8_efficientnet.py [--out benchmarks/results]

Its 1x1 convolutions and its classifier are at 75 % in groups of 64 rows, by magnitude; depthwise
convolutions stay as they are. Pixels are random, as are those that ranges are found on. Models run
in turn in one process; figures are medians.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measuring import machine, with_threads
from second_runtime import EXAMPLES, masks

from lottoc.backends import onnx as backend
from lottoc.backends.onnx.activations import Activations
from lottoc.backends.onnx.bench import medians, session
from lottoc.frontends.onnx_model import open_onnx

MODEL = EXAMPLES["efficientnet"]


def pixels(batch: int, seed: int) -> dict[str, np.ndarray]:
    """Images of noise."""
    rng = np.random.default_rng(seed)
    return {"image": rng.random((batch, 3, 224, 224), np.float32)}


def timed(paths: dict[str, Path], batch: int) -> dict[str, float]:
    """Seconds a run of each model."""
    return medians({key: session(path) for key, path in paths.items()}, pixels(batch, 0), 9)


def main() -> None:
    """Compile, measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    out, before, cells = parser.parse_args().out, machine(), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as name:
        model = open_onnx(MODEL)
        kept = masks(model, "groups(64)", "1/4")
        paths = {"dense": MODEL, **{key: Path(name) / f"{key}.onnx" for key in ("groups", "int8")}}
        backend.emit(model, paths["groups"], kept, format="groups")
        activations = Activations(lambda _: [pixels(2, seed) for seed in (1, 2, 3, 4)])
        known: Any = {"format": "groups", "values": "int8", "activations": activations}
        layers = backend.emit(model, paths["int8"], kept, **known)
        for threads in (1, 2):
            for batch in (1, 8):
                seconds = with_threads(threads, timed, paths, batch)
                speedup = {k: round(seconds["dense"] / s, 2) for k, s in seconds.items()}
                milliseconds = {key: round(s * 1e3, 2) for key, s in seconds.items()}
                cell = {"batch": batch, "threads": threads, "milliseconds": milliseconds}
                cells.append({**cell, "speedup": speedup})
                print(cells[-1], flush=True)
    counts = {
        "layers in int8": sum(layer.activations == "int8" for layer in layers),
        "in floats": {layer.name: layer.floats for layer in layers if layer.floats},
    }
    out.mkdir(parents=True, exist_ok=True)
    result = {"machine": before, **counts, "cells": cells}
    (out / "int8_efficientnet.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
