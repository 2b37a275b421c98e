"""Whether formats of their own would pay in onnxruntime for two kinds of masks: blocks and fan-in.

    python benchmarks/formats_study.py [--out benchmarks/results] [--quick]

A layer is one Gemm with a bias. Its mask keeps whole blocks of rows by columns, those of largest
norm, or the same number of inputs for every output. What could run it with standard operators:

- `dense`: the Gemm as it was, which is what `packed` becomes when it is loaded;
- `groups`: what lottoc writes, rows that share their columns as a gather and a grouped convolution;
- `bands`: Gather the columns of each band of blocks, one MatMul over [bands, rows, columns];
- `tiles`: Gather and MatMul each block by itself, add up those of a band;
- `condensed`: Gather the inputs of each output, multiply, ReduceSum;
- `rows`: Gather the inputs of each output, one MatMul over [outputs, 1, fan-in].

Models run in turn in one process; figures are medians, speed-ups over dense. Outputs are compared
with a masked dense layer. What would gather more than `MOST` numbers is not run.
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
from groups_layers import layer
from measuring import machine, with_threads
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lottoc.backends import onnx as backend
from lottoc.backends.onnx.bench import medians, session
from lottoc.diagnostics import InputError
from lottoc.frontends.onnx_model import open_onnx

SHAPES = ((768, 3072), (3072, 768))
BATCHES = (1, 16, 128)
BLOCKS = ((16, 16), (32, 1), (32, 32), (64, 1), (128, 8))
SPARSITIES = (75, 90, 95)
FAN_IN = (90, 95, 99)
"""Percent of the inputs that an output does not read."""

MOST = 1 << 26

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


class Net:
    """Nodes and constants of one model from x [batch, inputs] to y."""

    def __init__(self, weight: Floats, mask: Bools, bias: Floats, batch: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.weight, self.mask, self.bias, self.batch = weight * mask, mask, bias, batch

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

    def model(self, output: str) -> bytes:
        """The model whose y is a value."""
        self.nodes[-1].output[:] = ["y" if o == output else o for o in self.nodes[-1].output]
        outputs, inputs = self.weight.shape
        ends = [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [self.batch, inputs]),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [self.batch, outputs]),
        ]
        graph = helper.make_graph(self.nodes, "layer", ends[:1], ends[1:], self.tensors)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        onnx.checker.check_model(made, full_check=True)
        return made.SerializeToString()

    def finished(self, value: str) -> str:
        """[…, batch] with all outputs in front → [batch, outputs], with the bias."""
        flat = self.node("Reshape", value, self.constant(np.array([-1, self.batch])))
        summed = self.node("Add", flat, self.constant(self.bias[:, None]))
        return self.node("Transpose", summed, perm=[1, 0])


def padded(sets: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """One row for each set, filled up with -1."""
    result = np.full((len(sets), max(1, *map(len, sets))), -1)
    for row, numbers in zip(result, sets, strict=True):
        row[: len(numbers)] = numbers
    return result


def bands(net: Net, rows: int, _: int) -> str | None:
    """A band is `rows` outputs; all of a band read the same columns."""
    kept = net.mask.reshape(-1, rows, net.mask.shape[1]).any(axis=1)
    columns = padded([np.flatnonzero(row) for row in kept])
    weight = net.weight.reshape(len(kept), rows, -1)
    picked = np.take_along_axis(weight, np.maximum(columns, 0)[:, None], axis=2)
    picked = picked * (columns >= 0)[:, None]
    if columns.size * net.batch > MOST:
        return None
    turned = net.node("Transpose", "x", perm=[1, 0])
    gathered = net.node("Gather", turned, net.constant(np.maximum(columns, 0)), axis=0)
    return net.finished(net.node("MatMul", net.constant(picked), gathered))


def tiles(net: Net, rows: int, columns: int) -> str | None:
    """A tile is one block of the mask."""
    outputs, inputs = net.mask.shape
    split = net.mask.reshape(outputs // rows, rows, inputs // columns, columns)
    blocks = padded([np.flatnonzero(row) for row in split.any(axis=(1, 3))])
    weight = net.weight.reshape(split.shape).transpose(0, 2, 1, 3)
    picked = np.take_along_axis(weight, np.maximum(blocks, 0)[:, :, None, None], axis=1)
    picked = picked * (blocks >= 0)[:, :, None, None]
    if blocks.size * max(rows, columns) * net.batch > MOST:
        return None
    turned = net.node("Transpose", "x", perm=[1, 0])
    shape = net.constant(np.array([-1, columns, net.batch]))
    parts = net.node("Reshape", turned, shape)
    gathered = net.node("Gather", parts, net.constant(np.maximum(blocks, 0)), axis=0)
    product = net.node("MatMul", net.constant(picked), gathered)
    axes = net.constant(np.array([1]))
    return net.finished(net.node("ReduceSum", product, axes, keepdims=0))


def condensed(net: Net) -> str | None:
    """[outputs, fan-in] positions and weights."""
    reads = np.stack([np.flatnonzero(row) for row in net.mask])
    if reads.size * net.batch > MOST:
        return None
    weight = np.take_along_axis(net.weight, reads, axis=1)
    gathered = net.node("Gather", "x", net.constant(reads), axis=1)
    product = net.node("Mul", gathered, net.constant(weight))
    summed = net.node("ReduceSum", product, net.constant(np.array([2])), keepdims=0)
    return net.node("Add", summed, net.constant(net.bias))


def rows(net: Net) -> str | None:
    """The same, the sums by a MatMul for each output."""
    reads = np.stack([np.flatnonzero(row) for row in net.mask])
    if reads.size * net.batch > MOST:
        return None
    weight = np.take_along_axis(net.weight, reads, axis=1)
    turned = net.node("Transpose", "x", perm=[1, 0])
    gathered = net.node("Gather", turned, net.constant(reads), axis=0)
    return net.finished(net.node("MatMul", net.constant(weight[:, None]), gathered))


def block_mask(weight: Floats, block: tuple[int, int], sparsity: int) -> Bools:
    """The blocks of largest norm, over the whole layer."""
    outputs, inputs = weight.shape
    split = weight.reshape(outputs // block[0], block[0], inputs // block[1], block[1])
    norm = np.square(split).sum(axis=(1, 3))
    kept = np.zeros(norm.size, np.bool_)
    kept[np.argsort(-norm, axis=None)[: round(norm.size * (100 - sparsity) / 100)]] = True
    return np.kron(kept.reshape(norm.shape), np.ones(block, np.bool_))


def fan_in_mask(weight: Floats, sparsity: int) -> Bools:
    """The largest inputs of each output, as many of each."""
    count = max(1, round(weight.shape[1] * (100 - sparsity) / 100))
    mask = np.zeros(weight.shape, np.bool_)
    np.put_along_axis(mask, np.argsort(-np.abs(weight), axis=1)[:, :count], True, axis=1)
    return mask


def measured(
    shape: tuple[int, int], block: tuple[int, int] | None, sparsity: int, samples: int
) -> list[dict[str, Any]]:
    """One layer with all batch sizes, in a process that has its threads."""
    inputs, outputs = shape
    rng = np.random.default_rng(inputs + outputs)
    weight = (rng.standard_normal((outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)
    bias = rng.standard_normal(outputs).astype(np.float32)
    mask = fan_in_mask(weight, sparsity) if block is None else block_mask(weight, block, sparsity)
    recipes: dict[str, Callable[[Net], str | None]] = {"condensed": condensed, "rows": rows}
    if block is not None:
        r, c = block
        recipes = {"bands": lambda net: bands(net, r, c), "tiles": lambda net: tiles(net, r, c)}
    found = []
    with tempfile.TemporaryDirectory() as name:
        paths = {"dense": Path(name) / "dense.onnx", "groups": Path(name) / "groups.onnx"}
        layer(weight, bias, paths["dense"])
        try:
            backend.emit(open_onnx(paths["dense"]), paths["groups"], {"fc": mask}, format="groups")
        except InputError:
            del paths["groups"]
        for batch in BATCHES:
            x = rng.standard_normal((batch, inputs)).astype(np.float32)
            wanted = x @ (weight * mask).T + bias
            sessions = {key: session(path) for key, path in paths.items()}
            for key, recipe in recipes.items():
                net = Net(weight, mask, bias, batch)
                if output := recipe(net):
                    sessions[key] = session(net.model(output))
            for key in sessions.keys() - {"dense"}:
                error = np.abs(sessions[key].run(None, {"x": x})[0] - wanted).max()
                assert error <= 1e-5 * np.abs(wanted).max(), (key, error)
            seconds = medians(sessions, {"x": x}, samples)
            found.append(
                {
                    "inputs": inputs,
                    "outputs": outputs,
                    "mask": f"block{block}" if block else "fanin",
                    "sparsity": sparsity,
                    "batch": batch,
                    "microseconds": {k: round(s * 1e6, 1) for k, s in seconds.items()},
                    "speedup": {k: round(seconds["dense"] / s, 2) for k, s in seconds.items()},
                }
            )
    return found


def summary(found: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """For each mask and sparsity the least and most speed-up of each recipe over all cells."""
    result: dict[str, dict[str, str]] = {}
    for cell in found:
        key = f"{cell['mask']} {cell['sparsity']} %"
        alike = [c for c in found if (c["mask"], c["sparsity"]) == (cell["mask"], cell["sparsity"])]
        if key not in result:
            result[key] = {
                name: f"{min(rates)} to {max(rates)}"
                for name in ("groups", "bands", "tiles", "condensed", "rows")
                if (rates := [c["speedup"][name] for c in alike if name in c["speedup"]])
            }
    return result


def main() -> None:
    """Measure, print a line for each cell, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--quick", action="store_true", help="few samples")
    arguments = parser.parse_args()
    found, before, samples = [], machine(), 3 if arguments.quick else 7
    jobs = [(s, b, share) for s in SHAPES for b in BLOCKS for share in SPARSITIES]
    jobs += [(s, None, share) for s in SHAPES for share in FAN_IN]
    for shape, block, sparsity in jobs:
        for cell in with_threads(1, measured, shape, block, sparsity, samples):
            found.append(cell)
            rates = "  ".join(f"{k} {s:.2f}x" for k, s in cell["speedup"].items())
            print(
                f"{shape[0]:>5}x{shape[1]:<5} {cell['mask']:15} {sparsity} %  "
                f"batch {cell['batch']:>3}  {rates}",
                flush=True,
            )
    print(json.dumps(summary(found), indent=1))
    arguments.out.mkdir(parents=True, exist_ok=True)
    result = {"machine": before, "threads": 1, "summary": summary(found), "cells": found}
    (arguments.out / "formats_study.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
