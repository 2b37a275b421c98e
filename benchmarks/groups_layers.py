"""Times single layers with group-column sparsity in onnxruntime, dense against `format = groups`.

    python benchmarks/groups_layers.py [--out benchmarks/results] [--quick]

A layer is one Gemm with a bias. Every group of its rows keeps the same random columns, and lottoc
writes the masked layer as it would in a recipe, `auto` for the batch size that is timed. For each
shape, sparsity, batch size and thread count the dense and the compiled files run in turn in one
process; the figures are medians, and outputs are compared with a masked dense layer. `fixed` is
`groups` in a model that takes a batch of one only, as `batch = fixed(1)` writes it. `again` is
the dense file once more: what it differs from 1 by is noise, as it is where `auto` leaves a layer
dense.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from measuring import machine, with_threads
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lottoc.backends import onnx as backend
from lottoc.backends.onnx.bench import medians, session
from lottoc.backends.onnx.structure.cost import Workload
from lottoc.frontends.onnx_model import open_onnx

SHAPES = (
    (384, 384),
    (384, 1536),
    (1536, 384),
    (768, 768),
    (768, 3072),
    (3072, 768),
    (1024, 1024),
    (4096, 4096),
)
"""(inputs, outputs) of a layer."""

BATCHES = (1, 16, 128)
SPARSITIES = (50, 75, 90, 95)
ROWS = {(768, 3072): (64, 128, 256, 384, 768), (4096, 4096): (64, 128, 256, 512)}
"""Rows that share their columns, where several are tried."""


def layer(
    weight: NDArray[np.float32], bias: NDArray[np.float32], path: Path, batch: int | str = "batch"
) -> None:
    """Write a model that is one Gemm."""
    outputs, inputs = weight.shape
    node = helper.make_node("Gemm", ["x", "fc.weight", "fc.bias"], ["y"], transB=1)
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, outputs])],
        [numpy_helper.from_array(weight, "fc.weight"), numpy_helper.from_array(bias, "fc.bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(model, path)


def group_mask(outputs: int, inputs: int, rows: int, sparsity: int) -> NDArray[np.bool_]:
    """A random mask in which every `rows` rows keep the same columns."""
    rng = np.random.default_rng(sparsity)
    kept = round(inputs * (100 - sparsity) / 100)
    mask = np.zeros((outputs, inputs), np.bool_)
    for start in range(0, outputs, rows):
        mask[start : start + rows, rng.choice(inputs, kept, replace=False)] = True
    return mask


def cells(
    shape: tuple[int, int], sparsity: int, rows: int, quick: bool
) -> Iterator[dict[str, Any]]:
    """All batch sizes and thread counts of one layer."""
    inputs, outputs = shape
    rng = np.random.default_rng(inputs + outputs)
    weight = (rng.standard_normal((outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)
    bias = rng.standard_normal(outputs).astype(np.float32)
    mask = group_mask(outputs, inputs, rows, sparsity)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = {"dense": folder / "dense.onnx"}
        layer(weight, bias, paths["dense"])
        stored, model = {}, open_onnx(paths["dense"])
        for batch in BATCHES:
            paths[f"auto {batch}"] = folder / f"auto-{batch}.onnx"
            work = Workload(batches=(batch,))
            (report,) = backend.emit(model, paths[f"auto {batch}"], lambda _: mask, workload=work)
            stored[batch] = report.format
        paths["groups"] = folder / "groups.onnx"
        backend.emit(model, paths["groups"], lambda _: mask, format="groups")
        layer(weight, bias, folder / "one.onnx", batch=1)
        paths["fixed"] = folder / "fixed.onnx"
        one, work = open_onnx(folder / "one.onnx"), Workload(batches=(1,))
        (report,) = backend.emit(one, folder / "auto one.onnx", lambda _: mask, workload=work)
        backend.emit(one, paths["fixed"], lambda _: mask, format="groups")
        for threads in (1,) if quick else (1, 2):
            wanted = (weight * mask, bias)
            for cell in with_threads(threads, measured, paths, wanted, 5 if quick else 21):
                yield {
                    "inputs": inputs,
                    "outputs": outputs,
                    "rows": rows,
                    "sparsity": sparsity,
                    "threads": threads,
                    "auto": stored[cell["batch"]],
                    **({"auto fixed": report.format} if cell["batch"] == 1 else {}),
                    **cell,
                }


def measured(
    paths: dict[str, Path], masked: tuple[NDArray[np.float32], NDArray[np.float32]], samples: int
) -> list[dict[str, Any]]:
    """One layer with all batch sizes, in a process that has its threads."""
    weight, bias = masked
    found, rng = [], np.random.default_rng(1)
    for batch in BATCHES:
        files = {"dense": "dense", "groups": "groups", "auto": f"auto {batch}", "again": "dense"}
        files |= {"fixed": "fixed"} if batch == 1 else {}
        sessions = {key: session(paths[name]) for key, name in files.items()}
        x = rng.standard_normal((batch, weight.shape[1])).astype(np.float32)
        wanted = x @ weight.T + bias
        error = max(
            float(np.abs(s.run(None, {"x": x})[0] - wanted).max())
            for f, s in sessions.items()
            if files[f] != "dense"
        )
        assert error <= 1e-5 * np.abs(wanted).max(), error
        seconds = medians(sessions, {"x": x}, samples)
        found.append(
            {
                "batch": batch,
                "bytes": {k: paths[name].stat().st_size for k, name in files.items()},
                "microseconds": {k: round(s * 1e6, 1) for k, s in seconds.items()},
                "speedup": {
                    f: round(seconds["dense"] / s, 2) for f, s in seconds.items() if f != "dense"
                },
                "error": error,
            }
        )
    return found


def least(
    found: list[dict[str, Any]], shape: tuple[int, int], sparsity: int, rows: int
) -> dict[str, float]:
    """The speed-up of a layer in groups for each batch size and number of threads."""
    return {
        f"batch {batch}, threads {cell['threads']}": cell["speedup"][form]
        for cell in found
        for form, batch in (("groups", cell["batch"]), ("fixed", "fixed(1)"))
        if form in cell["speedup"]
        and ((cell["inputs"], cell["outputs"]), cell["sparsity"], cell["rows"])
        == (shape, sparsity, rows)
    }


def main() -> None:
    """Measure, print a line for each cell, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--quick", action="store_true", help="one thread, few samples")
    arguments = parser.parse_args()
    found, before = [], machine()
    for shape in SHAPES:
        for sparsity, rows in itertools.product(SPARSITIES, ROWS.get(shape, (128,))):
            for cell in cells(shape, sparsity, rows, arguments.quick):
                found.append(cell)
                print(
                    f"{cell['inputs']:>5}x{cell['outputs']:<5} {sparsity} %  {rows:>3} rows  "
                    f"batch {cell['batch']:>3}  threads {cell['threads']}  "
                    f"dense {cell['microseconds']['dense']:>9.1f} us  "
                    f"groups {cell['speedup']['groups']:>5.2f}x  "
                    f"auto {cell['speedup']['auto']:>5.2f}x ({cell['auto']})",
                    flush=True,
                )
    arguments.out.mkdir(parents=True, exist_ok=True)
    summary = {
        "cells": len(found),
        "least_auto": min(cell["speedup"]["auto"] for cell in found),
        "least_auto_grouped": min(
            cell["speedup"]["auto"] for cell in found if cell["auto"] == "groups"
        ),
        "least_auto_fixed_grouped": min(
            cell["speedup"]["fixed"] for cell in found if cell.get("auto fixed") == "groups"
        ),
        "least_dense_again": min(cell["speedup"]["again"] for cell in found),
        "least_groups": {
            f"{shape[0]}x{shape[1]} {sparsity} % {rows} rows": least(found, shape, sparsity, rows)
            for shape, several in ROWS.items()
            for sparsity in (75, 90)
            for rows in several
        },
    }
    print(json.dumps(summary, indent=1))
    result = {"machine": before, "summary": summary, "cells": found}
    (arguments.out / "groups_layers.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
