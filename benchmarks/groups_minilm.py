"""Times MiniLM with group-column sparsity in every linear layer against dense and against int8.

    python benchmarks/groups_minilm.py [--out benchmarks/results] [--model FILE] [--quick]

Rows that want the same columns are brought together by a simple clustering, and every group keeps
the columns of largest magnitude. The four models run in turn in one process: the dense one, the
compiled ones at 75 % and 90 %, and the dense one after onnxruntime's dynamic quantization to int8.
Figures are medians; the compiled models' outputs are compared with a masked dense model that is
made with the onnx package alone.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from measuring import machine, with_threads
from numpy.typing import NDArray
from onnx import numpy_helper

from lottoc.backends import onnx as backend
from lottoc.backends.onnx.bench import medians, session
from lottoc.frontends.onnx_model import OnnxModel, open_onnx

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "examples" / "minilm" / "minilm.onnx"
SPARSITIES = (75, 90)
ROWS = 128
"""Rows that share their columns."""

LENGTH = 128
"""Tokens a sentence."""

Masks = dict[str, NDArray[np.bool_]]


def group_mask(weight: NDArray[np.generic], sparsity: int) -> NDArray[np.bool_]:
    """Keep the columns of largest magnitude of every `ROWS` rows that look alike."""
    energy = np.abs(weight.astype(np.float64))
    mask = np.zeros(energy.shape, np.bool_)
    kept = round(energy.shape[1] * (100 - sparsity) / 100)
    for rows in alike(energy):
        best = np.argsort(-energy[rows].sum(0), kind="stable")[:kept]
        mask[np.ix_(rows, best)] = True
    return mask


def alike(energy: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Rows in the order of their first principal component, cut into groups."""
    centred = energy - energy.mean(0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    order = np.argsort(centred @ axis, kind="stable")
    return np.split(order, range(ROWS, len(order), ROWS))


def compiled(model: OnnxModel, masks: Masks, path: Path, format: str) -> list[str]:
    """Write the masked model; the formats of its layers."""
    return [r.format for r in backend.emit(model, path, masks, format=format)]


def masked_dense(model: OnnxModel, masks: Masks, path: Path) -> None:
    """The oracle: mask times weight, written with the onnx package."""
    proto = onnx.load(model.path)
    of = {model.weights[name].stored.name: name for name in masks}
    for item in proto.graph.initializer:
        if item.name in of:
            name = of[item.name]
            mask = masks[name].T if model.weights[name].transposed else masks[name]
            item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item) * mask, item.name))
    onnx.save(proto, path)


def quantized(path: Path) -> None:
    """onnxruntime's own dynamic quantization of the dense model."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.disable(logging.WARNING)
    quantize_dynamic(MODEL, path, weight_type=QuantType.QInt8)


def sentences(batch: int) -> dict[str, NDArray[np.int64]]:
    """Random tokens; the second half of the last sentence is padding."""
    rng = np.random.default_rng(0)
    attention = np.ones((batch, LENGTH), np.int64)
    attention[-1, LENGTH // 2 :] = 0
    ids = rng.integers(1000, 30000, (batch, LENGTH))
    return {
        "input_ids": ids,
        "attention_mask": attention,
        "token_type_ids": np.zeros_like(ids),
    }


def errors(paths: dict[str, Path], masked: dict[str, Path]) -> dict[str, float]:
    """Largest difference from the masked dense model, over its largest output."""
    feed, found = sentences(2), {}
    for name, path in masked.items():
        wanted = session(path).run(None, feed)[0]
        given = session(paths[name]).run(None, feed)[0]
        found[name] = float(np.abs(given - wanted).max() / np.abs(wanted).max())
    return found


def main() -> None:
    """Compile, compare, measure, print a table, write JSON."""
    global MODEL
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--quick", action="store_true", help="one thread, few samples")
    arguments = parser.parse_args()
    MODEL, before = arguments.model, machine()
    with tempfile.TemporaryDirectory() as name:
        result = measure(Path(name), arguments.quick)
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"machine": before, "rows": ROWS, "length": LENGTH, **result}, indent=1)
    (arguments.out / "groups_minilm.json").write_text(text + "\n")


def measure(folder: Path, quick: bool) -> dict[str, Any]:
    """Everything but where it was measured."""
    model = open_onnx(MODEL)
    paths, masked = {"dense": MODEL, "int8": folder / "int8.onnx"}, {}
    quantized(paths["int8"])
    formats = {}
    for sparsity in SPARSITIES:
        masks = {w.name: group_mask(model.layer(w.name), sparsity) for w in model.signature}
        key = f"groups {sparsity} %"
        paths[key], masked[key] = folder / f"{sparsity}.onnx", folder / f"masked{sparsity}.onnx"
        masked_dense(model, masks, masked[key])
        formats[key] = sorted(set(compiled(model, masks, paths[key], "groups")))
    relative = with_threads(2, errors, paths, masked)
    print("formats", formats, "errors", relative)
    cells = []
    for threads in (1,) if quick else (1, 2):
        for batch in (1, 8):
            seconds = with_threads(threads, timed, paths, batch, 7 if quick else 25)
            speedup = {key: round(seconds["dense"] / s, 2) for key, s in seconds.items()}
            cells.append(
                {
                    "batch": batch,
                    "threads": threads,
                    "milliseconds": {key: round(s * 1e3, 2) for key, s in seconds.items()},
                    "speedup": speedup,
                }
            )
            line = "  ".join(f"{k} {seconds[k] * 1e3:.1f} ms {v:.2f}x" for k, v in speedup.items())
            print(f"batch {batch}  threads {threads}:  {line}", flush=True)
    return {
        "bytes": {key: path.stat().st_size for key, path in paths.items()},
        "relative_error": relative,
        "formats": formats,
        "cells": cells,
    }


def timed(paths: dict[str, Path], batch: int, samples: int) -> dict[str, float]:
    """Seconds a run of each model."""
    return medians({key: session(path) for key, path in paths.items()}, sentences(batch), samples)


if __name__ == "__main__":
    main()
