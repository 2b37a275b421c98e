"""How large one pruned layer is in a file, by pattern and type of the stored values.

    python benchmarks/files.py [--out benchmarks/results]

A 768x3072 linear layer is written alone; a size is the whole file's, over the dense float32 file's.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lottoc.backends.onnx import emit
from lottoc.frontends.onnx_model import open_onnx

INPUTS, OUTPUTS = 768, 3072


def masks(weight: NDArray[np.float32]) -> dict[str, NDArray[np.bool_]]:
    """By magnitude: nine of ten pruned, and two of every four along the input."""
    size = np.abs(weight)
    ninety = size > np.quantile(size, 0.9)
    fours = size.reshape(OUTPUTS, -1, 4)
    rank = np.argsort(np.argsort(-fours, axis=2, kind="stable"), axis=2)
    return {"90 %": ninety, "2:4": (rank < 2).reshape(weight.shape)}


def main() -> None:
    """Write, measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    out = parser.parse_args().out
    weight = np.random.default_rng(0).standard_normal((OUTPUTS, INPUTS)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "fc.weight"], ["y"], transB=1)],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", INPUTS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", OUTPUTS])],
        [numpy_helper.from_array(weight, "fc.weight")],
    )
    result = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        opsets = [helper.make_opsetid("", 20)]
        onnx.save(
            helper.make_model(graph, opset_imports=opsets, ir_version=9), folder / "dense.onnx"
        )
        model, dense = open_onnx(folder / "dense.onnx"), (folder / "dense.onnx").stat().st_size
        for pattern, mask in masks(weight).items():
            for values in ("float32", "float16"):
                path = folder / "packed.onnx"
                emit(model, path, {"fc": mask}, values=values)
                share = round(path.stat().st_size / dense, 4)
                result[f"{pattern}, {values}"] = share
                print(f"{pattern:>5}  {values}  {share:.4f} of dense", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / "files.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
