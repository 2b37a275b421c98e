"""MiniLM in groups with int8 activations, beside float groups and onnxruntime's own int8.

    python benchmarks/int8_minilm.py make FOLDER WIKITEXT [--sparsities 75 90]
    python benchmarks/int8_minilm.py time FOLDER [--out benchmarks/results]

`make` compiles and verifies: every linear layer in groups of 128 rows, as `groups_minilm.py` makes
them, in floats and in int8 calibrated on sentences of valid.txt; and the dense model after
onnxruntime's dynamic quantization. Quality is the cosine of sentence embeddings (mean over tokens)
of sentences of test.txt, by which no range was found: of the int8 models with the float groups, of
the dynamic one with the dense model. Nothing is trained, so at these sparsities float groups
themselves are far from the dense model; what int8 adds to that is what is asked here. `time`
measures, the models in turn in one process, medians.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import groups_minilm
import numpy as np
from groups_minilm import LENGTH, MODEL, ROWS, group_mask, quantized, sentences
from measuring import machine, with_threads
from minilm_activations import embeddings, tokens
from minilm_activations import sentences as sentences_of

from lottoc.backends import onnx as backend
from lottoc.backends.onnx.activations import Activations
from lottoc.backends.onnx.bench import medians, session
from lottoc.frontends.onnx_model import open_onnx

CALIBRATION, HELD_OUT, BATCH = 128, 256, 8


def main() -> None:
    """Make or time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=["make", "time"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("data", type=Path, nargs="?", help="a folder with valid.txt and test.txt")
    parser.add_argument("--sparsities", type=int, nargs="+", default=groups_minilm.SPARSITIES)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.step == "make":
        made = make(arguments.folder, arguments.data, arguments.sparsities)
        (arguments.folder / "made.json").write_text(json.dumps(made))
        return
    made = json.loads((arguments.folder / "made.json").read_text())
    before, cells = machine(), measure(arguments.folder)
    result = {"machine": before, "rows": ROWS, "length": LENGTH, **made, "cells": cells}
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "int8_minilm.json").write_text(json.dumps(result, indent=1) + "\n")


def make(folder: Path, data: Path, sparsities: list[int]) -> dict[str, Any]:
    """Write the models; sizes, what verification says, cosines."""
    calibration = tokens(sentences_of(data / "valid.txt", CALIBRATION, 0), LENGTH)
    held_out = tokens(sentences_of(data / "test.txt", HELD_OUT, 1), LENGTH)
    batches = [
        {name: array[start : start + BATCH] for name, array in calibration.items()}
        for start in range(0, CALIBRATION, BATCH)
    ]
    model, found = open_onnx(MODEL), dict[str, Any]()
    quantized(folder / "dynamic int8.onnx")
    exact = embeddings(str(MODEL), held_out)
    found["dynamic int8"] = quality(folder / "dynamic int8.onnx", held_out, exact)
    for sparsity in sparsities:
        masks = {w.name: group_mask(model.layer(w.name), sparsity) for w in model.signature}
        paths = [folder / f"groups {sparsity} %{kind}.onnx" for kind in ("", " int8")]
        backend.emit(model, paths[0], masks, format="groups")
        activations = Activations(lambda _: batches)
        known: Any = {"format": "groups", "activations": activations}
        start = time.perf_counter()
        layers = backend.emit(model, paths[1], masks, values="int8", **known)
        verified = backend.verify(paths[1], model, masks, **known)
        seconds = time.perf_counter() - start
        groups = embeddings(str(paths[0]), held_out)
        found[paths[0].stem] = {"bytes": paths[0].stat().st_size}
        found[paths[1].stem] = {
            **quality(paths[1], held_out, groups),
            "layers in int8": sum(layer.activations == "int8" for layer in layers),
            "seconds to compile and verify": round(seconds, 1),
            "outputs changed on calibration examples": verified.changed,
        }
        print(sparsity, found[paths[1].stem], flush=True)
    return {"models": found}


def quality(path: Path, held_out: dict[str, Any], wanted: Any) -> dict[str, Any]:
    """Bytes, and cosines with the embeddings of another model."""
    cosines = (embeddings(str(path), held_out) * wanted).sum(axis=1)
    return {
        "bytes": path.stat().st_size,
        "cosine": {
            "mean": round(float(cosines.mean()), 5),
            "least": round(float(cosines.min()), 5),
        },
    }


def measure(folder: Path) -> list[dict[str, Any]]:
    """Milliseconds of each model."""
    paths = {"dense": MODEL, **{path.stem: path for path in sorted(folder.glob("*.onnx"))}}
    cells = []
    for threads in (1, 2):
        for batch in (1, 8):
            seconds = with_threads(threads, timed, paths, batch, 15 if batch == 1 else 7)
            cells.append(
                {
                    "batch": batch,
                    "threads": threads,
                    "milliseconds": {key: round(s * 1e3, 2) for key, s in seconds.items()},
                    "speedup": {k: round(seconds["dense"] / s, 2) for k, s in seconds.items()},
                }
            )
            line = "  ".join(f"{k} {s * 1e3:.1f} ms" for k, s in seconds.items())
            print(f"batch {batch}  threads {threads}:  {line}", flush=True)
    return cells


def timed(paths: dict[str, Path], batch: int, samples: int) -> dict[str, float]:
    """Seconds a run of each model."""
    feed: dict[str, np.ndarray] = sentences(batch)
    return medians({key: session(path) for key, path in paths.items()}, feed, samples)


if __name__ == "__main__":
    main()
