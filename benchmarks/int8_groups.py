"""Whether int8 arithmetic makes grouped layers faster in onnxruntime: every recipe there is for it.

    python benchmarks/int8_groups.py [--out benchmarks/results] [--quick]

A layer is one Gemm with a bias whose groups of 128 rows keep the same random columns. Activations
are quantized when the model runs (DynamicQuantizeLinear, uint8), weights are symmetric int8 with a
scale for each output. The recipes, all of standard operators:

- `dense`, `groups`: float32, the latter as lottoc writes it;
- `dense int8`: MatMulInteger, as onnxruntime's own dynamic quantization makes it;
- `apart`: a Gather of its columns and a MatMulInteger for each group, then Concat;
- `batched`: one Gather, and one MatMulInteger over [groups, batch, columns];
- `conv`: channel-major, one Gather and one ConvInteger with groups;
- `signed`: the same in the types for which the processor has instructions, int8 activations and
  uint8 weights around 128, and a DequantizeLinear for the product;
- `static`: channel-major QLinearConv with groups, whose scales were fixed beforehand: what
  calibrated activations could reach, not what lottoc could write without data.

Models run in turn in one process; figures are medians, speed-ups over float32 dense. Outputs are
compared with the float32 layer that holds the dequantized weights.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from groups_layers import group_mask, layer
from measuring import machine, with_threads
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lottoc.backends import onnx as backend
from lottoc.backends.onnx.bench import medians, session
from lottoc.backends.onnx.values import narrow
from lottoc.frontends.onnx_model import open_onnx
from lottoc.frontends.onnx_schema import DataType

SHAPES = ((384, 1536), (768, 3072), (3072, 768), (4096, 4096))
BATCHES = (1, 16, 128)
SPARSITIES = (75, 90)
ROWS = 128
TOLERANCE = 0.03
"""Of the largest output: activations in 8 bits are off by up to a 250th of their range each."""

Floats = NDArray[np.float32]


class Net:
    """Nodes and constants of one model from x [batch, inputs] to y."""

    def __init__(self, weight: Floats, bias: Floats, batch: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.weight, self.bias, self.batch = weight, bias, batch
        stored = narrow(weight, DataType.FLOAT, DataType.INT8)
        assert stored.scales is not None
        self.numbers, self.scales = stored.numbers, stored.scales

    def constant(self, numbers: NDArray[Any]) -> str:
        """An initializer."""
        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(numbers), name))
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def quantized(self, value: str) -> tuple[str, str, str]:
        """uint8 numbers, scale and zero point, found at run time."""
        names = [f"v{len(self.nodes)}{part}" for part in ("", "s", "z")]
        self.nodes.append(helper.make_node("DynamicQuantizeLinear", [value], names, names[0]))
        return names[0], names[1], names[2]

    def scaled(self, product: str, scale: str, scales: NDArray[Any]) -> str:
        """int32 sums as floats."""
        wide = self.node("Cast", product, to=TensorProto.FLOAT)
        both = self.node("Mul", scale, self.constant(scales))
        return self.node("Mul", wide, both)

    def model(self, output: str) -> bytes:
        """The model whose y is a value."""
        self.nodes[-1].output[:] = ["y" if o == output else o for o in self.nodes[-1].output]
        outputs, inputs = self.weight.shape
        ends = [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [self.batch, inputs]),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [self.batch, outputs]),
        ]
        graph = helper.make_graph(self.nodes, "layer", ends[:1], ends[1:], self.tensors)
        opsets = [helper.make_opsetid("", 20)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        onnx.checker.check_model(made, full_check=True)
        return made.SerializeToString()

    @property
    def columns(self) -> NDArray[np.int64]:
        """[groups, columns]: what each group of rows keeps."""
        kept = self.weight.reshape(-1, ROWS, self.weight.shape[1]).any(axis=1)
        return np.stack([np.flatnonzero(row) for row in kept])

    def group(self, at: int) -> NDArray[np.int8]:
        """[rows, columns] of one group."""
        rows = self.numbers[at * ROWS : (at + 1) * ROWS]
        picked: NDArray[np.int8] = rows[:, self.columns[at]]
        return picked


def dense_int8(net: Net) -> str:
    """x → uint8 → MatMulInteger → scale → bias."""
    q, s, z = net.quantized("x")
    zero = net.constant(np.array(0, np.int8))
    product = net.node("MatMulInteger", q, net.constant(net.numbers.T), z, zero)
    return net.node("Add", net.scaled(product, s, net.scales), net.constant(net.bias))


def apart(net: Net) -> str:
    """For each group Gather → MatMulInteger → scale; then Concat and bias."""
    q, s, z = net.quantized("x")
    zero, parts = net.constant(np.array(0, np.int8)), []
    for at, columns in enumerate(net.columns):
        picked = net.node("Gather", q, net.constant(columns), axis=1)
        product = net.node("MatMulInteger", picked, net.constant(net.group(at).T), z, zero)
        parts.append(net.scaled(product, s, net.scales[at * ROWS : (at + 1) * ROWS]))
    return net.node("Add", net.node("Concat", *parts, axis=1), net.constant(net.bias))


def batched(net: Net) -> str:
    """Gather → [groups, batch, columns] → one MatMulInteger → scale → rows side by side."""
    q, s, z = net.quantized("x")
    groups, kept = net.columns.shape
    picked = net.node("Gather", q, net.constant(net.columns.reshape(-1)), axis=1)
    split = net.node("Reshape", picked, net.constant(np.array([net.batch, groups, kept])))
    turned = net.node("Transpose", split, perm=[1, 0, 2])
    weights = np.stack([net.group(at).T for at in range(groups)])
    zero = net.constant(np.array(0, np.int8))
    product = net.node("MatMulInteger", turned, net.constant(weights), z, zero)
    scaled = net.scaled(product, s, net.scales.reshape(groups, 1, ROWS))
    back = net.node("Transpose", scaled, perm=[1, 0, 2])
    rows = net.node("Reshape", back, net.constant(np.array([net.batch, groups * ROWS])))
    return net.node("Add", rows, net.constant(net.bias))


def conv(net: Net) -> str:
    """Turned, Gather → ConvInteger with groups → scale → bias → turned back."""
    q, s, z = net.quantized("x")
    groups, _ = net.columns.shape
    row = net.node("Unsqueeze", q, net.constant(np.array([0])))
    turned = net.node("Transpose", row, perm=[0, 2, 1])
    picked = net.node("Gather", turned, net.constant(net.columns.reshape(-1)), axis=1)
    weights = np.concatenate([net.group(at) for at in range(groups)])[:, :, None]
    zero = net.constant(np.array(0, np.int8))
    product = net.node("ConvInteger", picked, net.constant(weights), z, zero, group=groups)
    scaled = net.scaled(product, s, net.scales.reshape(-1, 1))
    summed = net.node("Add", scaled, net.constant(net.bias.reshape(-1, 1)))
    back = net.node("Transpose", summed, perm=[0, 2, 1])
    return net.node("Squeeze", back, net.constant(np.array([0])))


def signed(net: Net) -> str:
    """Largest → int8, turned, Gather → ConvInteger with groups → scale → bias → turned back."""
    largest = net.node("ReduceMax", net.node("Abs", "x"), keepdims=0)
    s = net.node("Div", largest, net.constant(np.array(127, np.float32)))
    zeros = net.constant(np.array(0, np.int8)), net.constant(np.array(128, np.uint8))
    groups, _ = net.columns.shape
    row = net.node(
        "Unsqueeze", net.node("QuantizeLinear", "x", s, zeros[0]), net.constant(np.array([0]))
    )
    turned = net.node("Transpose", row, perm=[0, 2, 1])
    picked = net.node("Gather", turned, net.constant(net.columns.reshape(-1)), axis=1)
    weights = np.concatenate([net.group(at) for at in range(groups)])[:, :, None]
    weight = net.constant((weights.astype(np.int16) + 128).astype(np.uint8))
    product = net.node("ConvInteger", picked, weight, *zeros, group=groups)
    scales = net.node("Mul", s, net.constant(net.scales))
    wide = net.node("DequantizeLinear", product, scales, axis=1)
    summed = net.node("Add", wide, net.constant(net.bias.reshape(-1, 1)))
    back = net.node("Transpose", summed, perm=[0, 2, 1])
    return net.node("Squeeze", back, net.constant(np.array([0])))


def static(net: Net) -> str:
    """The same with QLinearConv, whose input and output scales are constants."""
    limit = np.float32(4.5)
    scales = [np.array(limit / 127, np.float32)]
    reach = float(np.abs(net.weight).sum(axis=1).max()) / 6
    scales.append(np.array((reach + np.abs(net.bias).max()) / 127, np.float32))
    names = [net.constant(scale) for scale in scales]
    zero = net.constant(np.array(128, np.uint8))
    groups, _ = net.columns.shape
    q = net.node("QuantizeLinear", "x", names[0], zero)
    row = net.node("Unsqueeze", q, net.constant(np.array([0])))
    turned = net.node("Transpose", row, perm=[0, 2, 1])
    picked = net.node("Gather", turned, net.constant(net.columns.reshape(-1)), axis=1)
    weights = np.concatenate([net.group(at) for at in range(groups)])[:, :, None]
    bias = np.rint(net.bias / (scales[0] * net.scales)).astype(np.int32)
    result = net.node(
        "QLinearConv",
        *(picked, names[0], zero),
        *(net.constant(weights), net.constant(net.scales)),
        net.constant(np.zeros(len(weights), np.int8)),
        *(names[1], zero, net.constant(bias)),
        group=groups,
    )
    wide = net.node("DequantizeLinear", result, names[1], zero)
    back = net.node("Transpose", wide, perm=[0, 2, 1])
    return net.node("Squeeze", back, net.constant(np.array([0])))


RECIPES: dict[str, Callable[[Net], str]] = {
    "dense int8": dense_int8,
    "apart": apart,
    "batched": batched,
    "conv": conv,
    "signed": signed,
    "static": static,
}


def measured(shape: tuple[int, int], sparsity: int, samples: int) -> list[dict[str, Any]]:
    """One layer with all batch sizes, in a process that has its threads."""
    inputs, outputs = shape
    rng = np.random.default_rng(inputs + outputs)
    mask = group_mask(outputs, inputs, ROWS, sparsity)
    weight = (rng.standard_normal((outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)
    bias = rng.standard_normal(outputs).astype(np.float32)
    found = []
    with tempfile.TemporaryDirectory() as name:
        paths = {"dense": Path(name) / "dense.onnx", "groups": Path(name) / "groups.onnx"}
        layer(weight, bias, paths["dense"])
        backend.emit(open_onnx(paths["dense"]), paths["groups"], {"fc": mask}, format="groups")
        for batch in BATCHES:
            x = rng.standard_normal((batch, inputs)).astype(np.float32)
            sessions = {key: session(path) for key, path in paths.items()}
            errors = {}
            for key, recipe in RECIPES.items():
                net = Net(weight * mask, bias, batch)
                sessions[key] = session(net.model(recipe(net)))
                wanted = x @ (net.numbers * net.scales[:, None]).T + bias
                given = sessions[key].run(None, {"x": x})[0]
                errors[key] = float(np.abs(given - wanted).max() / np.abs(wanted).max())
                assert key == "static" or errors[key] <= TOLERANCE, (key, errors[key])
            seconds = medians(sessions, {"x": x}, samples)
            found.append(
                {
                    "inputs": inputs,
                    "outputs": outputs,
                    "sparsity": sparsity,
                    "batch": batch,
                    "microseconds": {k: round(s * 1e6, 1) for k, s in seconds.items()},
                    "speedup": {k: round(seconds["dense"] / s, 2) for k, s in seconds.items()},
                    "error": errors,
                }
            )
    return found


def main() -> None:
    """Measure, print a line for each cell, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--quick", action="store_true", help="one thread, few samples")
    arguments = parser.parse_args()
    found, before = [], machine()
    for threads in (1,) if arguments.quick else (1, 2):
        for shape in SHAPES:
            for sparsity in SPARSITIES:
                samples = 5 if arguments.quick else 11
                for cell in with_threads(threads, measured, shape, sparsity, samples):
                    found.append({"threads": threads, **cell})
                    rates = "  ".join(f"{k} {s:.2f}x" for k, s in cell["speedup"].items())
                    print(
                        f"{shape[0]:>5}x{shape[1]:<5} {sparsity} %  batch {cell['batch']:>3}  "
                        f"threads {threads}  {rates}",
                        flush=True,
                    )
    recipes = [key for key in RECIPES if key != "dense int8"]
    best = [
        max(cell["speedup"][key] for key in recipes if key != "static") / cell["speedup"]["groups"]
        for cell in found
    ]
    over = {
        f"{key}, batch {batch}": round(
            float(
                np.median(
                    [
                        cell["speedup"][key] / cell["speedup"]["groups"]
                        for cell in found
                        if cell["batch"] == batch
                    ]
                )
            ),
            2,
        )
        for key in ("dense int8", *recipes)
        for batch in BATCHES
    }
    summary = {
        "cells": len(found),
        "int8 groups over float32 groups, best recipe of each cell": {
            "least": round(min(best), 2),
            "median": round(float(np.median(best)), 2),
            "most": round(max(best), 2),
        },
        "over float32 groups, median": over,
        "faster than float32 groups, cells": {
            key: sum(cell["speedup"][key] > cell["speedup"]["groups"] for cell in found)
            for key in ("dense int8", *recipes)
        },
    }
    print(json.dumps(summary, indent=1))
    arguments.out.mkdir(parents=True, exist_ok=True)
    result = {"machine": before, "rows": ROWS, "summary": summary, "cells": found}
    (arguments.out / "int8_groups.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
