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
VALUES = ("float32", "float16", "bfloat16", "int8")
TARGETS = {
    ("90 %", "float32"): 0.14,
    ("90 %", "float16"): 0.09,
    ("2:4", "float32"): 0.53,
    ("2:4", "float16"): 0.29,
}
"""Of the dense file, at most."""


def masks(weight: NDArray[np.float32]) -> dict[str, NDArray[np.bool_]]:
    """By magnitude: nine of ten pruned, two of every four, and nine of ten in groups of rows."""
    size = np.abs(weight)
    ninety = size > np.quantile(size, 0.9)
    fours = size.reshape(OUTPUTS, -1, 4)
    rank = np.argsort(np.argsort(-fours, axis=2, kind="stable"), axis=2)
    groups = np.repeat(size.reshape(-1, 128, INPUTS).sum(axis=1), 128, axis=0)
    columns = np.argsort(np.argsort(-groups, axis=1, kind="stable"), axis=1)
    return {
        "90 %": ninety,
        "2:4": (rank < 2).reshape(weight.shape),
        "90 % in groups(128)": columns < round(INPUTS / 10),
    }


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
            for values in VALUES:
                path = folder / "pruned.onnx"
                format = "groups" if "groups" in pattern else "auto"
                (report,) = emit(model, path, {"fc": mask}, format=format, values=values)
                share = round(path.stat().st_size / dense, 4)
                assert share <= TARGETS.get((pattern, values), 1), share
                result[f"{pattern}, {values}"] = {
                    "of dense": share,
                    "format": report.format,
                    "rounding": report.rounding,
                }
                print(
                    f"{pattern:>19}  {values:8}  {share:.4f} of dense, {report.format}, "
                    f"rounded by {report.rounding:.2g}",
                    flush=True,
                )
    out.mkdir(parents=True, exist_ok=True)
    (out / "files.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
