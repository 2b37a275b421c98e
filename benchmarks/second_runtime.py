"""Runs compiled models in OpenVINO beside onnxruntime, with which it shares no code.

    python benchmarks/second_runtime.py [--out benchmarks/results]

MiniLM and EfficientNet-Lite0 (examples/*/prepare.py first) by magnitude, and two networks with
random weights of LeNet-300-100's and the example MLP's shapes, in every format that can hold the
masks; `int8` is groups whose layers multiply in int8, with the ranges of the input that is run:
there a byte on the border between two may be the other one in the other runtime, and `of_floats`
says how far int8 itself is from float groups on that input, in the same measure. Figures are the
largest difference of an output over the largest output. OpenVINO is asked for float32; it has a
package of its own: pip install "lottoc[openvino]".
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lottoc.backends.onnx import emit
from lottoc.backends.onnx.activations import Activations
from lottoc.diagnostics import InputError
from lottoc.frontends.onnx_model import OnnxModel, open_onnx
from lottoc.masks.patterns import parse

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = {
    "minilm": ROOT / "examples" / "minilm" / "minilm.onnx",
    "efficientnet": ROOT / "examples" / "efficientnet" / "efficientnet.onnx",
}
CHAINS = {"lenet": (784, 300, 100, 10), "mlp": (784, 1024, 512, 10)}
PATTERNS = {"unstructured": "1/10", "2:4": "1/2", "groups(64)": "1/4"}
FORMATS = ("dense", "sparse", "packed", "groups", "auto", "int8")


def chain(widths: tuple[int, ...], path: Path) -> Path:
    """Linear layers with rectifiers between."""
    rng, nodes, tensors, x = np.random.default_rng(0), [], [], "x"
    for index, (before, after) in enumerate(pairwise(widths)):
        weight = rng.standard_normal((after, before)) / before**0.5
        tensors.append(numpy_helper.from_array(weight.astype(np.float32), f"fc{index}.weight"))
        nodes.append(helper.make_node("Gemm", [x, f"fc{index}.weight"], [f"h{index}"], transB=1))
        x = f"h{index}"
        if index < len(widths) - 2:
            nodes.append(helper.make_node("Relu", [x], [f"r{index}"]))
            x = f"r{index}"
    info = helper.make_tensor_value_info
    ends = (info("x", TensorProto.FLOAT, ["n", widths[0]]), info(x, 1, ["n", widths[-1]]))
    graph = helper.make_graph(nodes, "chain", [ends[0]], [ends[1]], tensors)
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def feed(name: str) -> dict[str, NDArray[Any]]:
    """Random tokens for MiniLM, the last sentence half padding; noise for the others."""
    rng = np.random.default_rng(0)
    if name == "minilm":
        attention = np.ones((2, 64), np.int64)
        attention[-1, 32:] = 0
        ids = rng.integers(1000, 30000, (2, 64))
        zeros = np.zeros_like(ids)
        return {"input_ids": ids, "attention_mask": attention, "token_type_ids": zeros}
    shape = (2, 3, 224, 224) if name == "efficientnet" else (4, 784)
    input = "image" if name == "efficientnet" else "x"
    return {input: rng.standard_normal(shape).astype(np.float32)}


def masks(model: OnnxModel, pattern: str, density: str) -> dict[str, NDArray[np.bool_]]:
    """By magnitude, layer by layer, where the pattern fits."""
    shape = parse(pattern)
    layers = [layer for layer in model.signature if shape.misfit(layer.shape) is None]
    counts = shape.counts("layerwise", [layer.shape for layer in layers], Fraction(density))
    return {
        layer.name: shape.keep(np.abs(model.layer(layer.name)), count)
        for layer, count in zip(layers, counts, strict=True)
    }


def outputs(path: Path, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Of onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    return list(onnxruntime.InferenceSession(str(path), options, providers).run(None, inputs))


def second(path: Path, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Of OpenVINO."""
    core = openvino.Core()
    model = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return list(model(inputs).values())


def differences(name: str, source: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """One row a pattern and format."""
    model, inputs, floats = open_onnx(source), feed(name), list[NDArray[Any]]()
    for pattern, density in PATTERNS.items():
        kept = masks(model, pattern, density)
        for format in FORMATS:
            path = folder / f"{name}.onnx"
            known: dict[str, Any] = {"format": format}
            if format == "int8":
                ranges = Activations(lambda _: [inputs])
                known = {"format": "groups", "values": "int8", "activations": ranges}
            try:
                emit(model, path, kept, **known)
            except InputError:
                continue  # masks that this format does not hold
            row: dict[str, Any] = {"model": name, "pattern": pattern, "format": format}
            wanted = outputs(path, inputs)
            try:
                given = second(path, inputs)
            except RuntimeError as error:
                lines = [line for line in str(error).splitlines() if line.strip()]
                yield {**row, "not_loaded": lines[-1].strip()}
                continue
            row["difference"] = furthest(given, wanted)
            if format == "groups":
                floats = wanted
            elif format == "int8":
                row["of_floats"] = furthest(wanted, floats)
            yield row


def furthest(given: list[NDArray[Any]], wanted: list[NDArray[Any]]) -> float:
    """The largest difference of an output over the largest number in it."""
    pairs = zip(given, wanted, strict=True)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def main() -> None:
    """Compile, run twice, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    out, rows = parser.parse_args().out, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = {
            **EXAMPLES,
            **{n: chain(w, folder / f"dense-{n}.onnx") for n, w in CHAINS.items()},
        }
        for model, source in sources.items():
            for row in differences(model, source, folder):
                rows.append(row)
                shown = row.get("difference", row.get("not_loaded"))
                print(f"{model:>12}  {row['pattern']:>12}  {row['format']:>6}  {shown}", flush=True)
    versions = {"onnxruntime": onnxruntime.__version__, "openvino": openvino.__version__}
    result = {"versions": versions, "cores": os.cpu_count(), "rows": rows}
    out.mkdir(parents=True, exist_ok=True)
    (out / "second_runtime.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
