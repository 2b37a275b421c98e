"""Runs 2:4 layers on an NVIDIA GPU: lottoc's operator, torch's own tensors, and dense layers.

    python benchmarks/gpu_semi_structured.py [--out benchmarks/results] [--quick]

It needs a GPU of compute capability 8.0 or later and a torch with CUDA; without one it says so and
writes nothing. Weights are packed on the CPU, as `emit fx` does it, then moved. For each shape of
a linear layer, type and batch three things run in turn: `functional.linear` with the dense weight,
with what `torch.sparse.to_sparse_semi_structured` makes of it, and
`lottoc::semi_structured_linear`. Figures are medians of CUDA events; outputs are compared with a
float64 product of the same rounded numbers. In int8, activations in float16 are rounded to int8 in
each call, by the same function for torch's own tensors. A transformer block follows, compiled from
a recipe's ticket as a whole, with `torch.compile` and without.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import lottoc
from lottoc.runtime import pack, semi_structured
from lottoc.runtime.semi_structured_int8 import quantized

SHAPES = ((4096, 4096), (4096, 11008), (11008, 4096))
"""(inputs, outputs) of the layers of a model of seven billion weights."""
BATCHES = (64, 256, 1024, 4096)
TYPES = (torch.bfloat16, torch.float16, torch.int8)
OPS: Any = torch.ops.lottoc
Call = Callable[[], torch.Tensor]


def two_of_four(weight: torch.Tensor) -> torch.Tensor:
    """The two largest of every four, the rest zero."""
    rows, columns = weight.shape
    quads = weight.view(rows, columns // 4, 4)
    ranks = quads.abs().argsort(-1, descending=True).argsort(-1)
    return torch.where(ranks < 2, quads, 0).view(rows, columns)


def microseconds(calls: dict[str, Call], samples: int) -> dict[str, float]:
    """Medians of single calls, interleaved, warm."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(5):
            call()
    for _ in range(samples):
        for name, call in calls.items():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            call()
            end.record()
            torch.cuda.synchronize()
            times[name].append(1e3 * start.elapsed_time(end))
    return {name: round(statistics.median(each), 2) for name, each in times.items()}


def layer(
    inputs: int, outputs: int, batch: int, dtype: torch.dtype, kernels: str, samples: int
) -> dict[str, Any]:
    """One cell of the table."""
    if dtype == torch.int8:
        return int8_layer(inputs, outputs, batch, kernels, samples)
    draw = torch.Generator().manual_seed(0)
    weight = two_of_four(torch.randn(outputs, inputs, generator=draw)).to(dtype)
    values, meta = (part.cuda() for part in pack(weight))
    bias = torch.randn(outputs, generator=draw).to(dtype).cuda()
    x = torch.randn(batch, inputs, generator=draw).to(dtype).cuda()
    dense = weight.cuda()
    sparse: Any = torch.sparse
    sparse.SparseSemiStructuredTensor._FORCE_CUTLASS = kernels == "cutlass"
    own = sparse.to_sparse_semi_structured(dense)
    semi_structured.kernels = kernels
    shape = (outputs, inputs)
    calls: dict[str, Call] = {
        "dense": lambda: functional.linear(x, dense, bias),
        "torch": lambda: functional.linear(x, own, bias),
        "lottoc": lambda: OPS.semi_structured_linear(x, values, meta, bias, *shape),
    }
    exact = x.double() @ dense.double().t() + bias.double()
    return cell(inputs, outputs, batch, str(dtype), kernels, calls, exact, samples)


def int8_layer(inputs: int, outputs: int, batch: int, kernels: str, samples: int) -> dict[str, Any]:
    """A cell of int8 weights and activations in float16, which are rounded on the way."""
    draw = torch.Generator().manual_seed(0)
    weight = two_of_four(torch.randn(outputs, inputs, generator=draw))
    numbers, scales = quantized(weight)
    values, meta = (part.cuda() for part in pack(numbers))
    scales, dense = scales.cuda(), weight.half().cuda()
    x = torch.randn(batch, inputs, generator=draw).half().cuda()
    sparse: Any = torch.sparse
    sparse.SparseSemiStructuredTensor._FORCE_CUTLASS = kernels == "cutlass"
    own = sparse.to_sparse_semi_structured(numbers.cuda())
    semi_structured.kernels = kernels

    def torchs() -> torch.Tensor:
        rounded, scale = quantized(x)
        return ((own @ rounded.t()).t().float() * scale[:, None] * scales).half()

    calls: dict[str, Call] = {
        "dense": lambda: functional.linear(x, dense),
        "torch": torchs,
        "lottoc": lambda: OPS.semi_structured_linear_int8(
            x, values, meta, scales, None, outputs, inputs
        ),
    }
    exact = x.double() @ weight.cuda().double().t()
    return cell(inputs, outputs, batch, "torch.int8", kernels, calls, exact, samples)


def cell(
    inputs: int,
    outputs: int,
    batch: int,
    dtype: str,
    kernels: str,
    calls: dict[str, Call],
    exact: torch.Tensor,
    samples: int,
) -> dict[str, Any]:
    """Errors and times of the calls."""
    errors = {
        name: float((call().double() - exact).abs().max() / exact.abs().max())
        for name, call in calls.items()
    }
    times = microseconds(calls, samples)
    return {
        "inputs": inputs,
        "outputs": outputs,
        "batch": batch,
        "dtype": dtype.removeprefix("torch."),
        "kernels": kernels,
        "microseconds": times,
        "over dense": round(times["dense"] / times["lottoc"], 3),
        "over torch": round(times["torch"] / times["lottoc"], 3),
        "errors": errors,
    }


class Block(nn.Module):
    """A transformer block of the size of a model of seven billion weights."""

    def __init__(self, width: int = 4096, hidden: int = 11008, heads: int = 32) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, length, width]."""
        parts = self.qkv(self.before(x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.out(mixed)
        return x + self.down(functional.gelu(self.up(self.between(x))))


def block(batch: int, length: int, samples: int) -> dict[str, Any]:
    """A whole block in float16, compiled by `emit`, loaded on the GPU."""
    from lottoc.backends.fx.emit import emit
    from lottoc.backends.fx.network import masked_network
    from lottoc.frontends.torch_model import TorchModel

    model = TorchModel(Path("block.py"), lambda: Block().half())
    state = model.initial_state(0)
    masks = {
        layer.name: (two_of_four(torch.from_numpy(state.layer(layer.name))) != 0).numpy()
        for layer in model.signature()
    }
    network = masked_network(model, state, masks.get)
    sample = np.zeros((2, length, 4096), np.float16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "block.pt2"
        emit(network, path, sample, format="semi_structured", target="nvidia-ampere")
        sparse = lottoc.load(path, device="cuda")
    dense = network.module.cuda()
    x = torch.randn(batch, length, 4096, device="cuda", dtype=torch.float16)
    with torch.no_grad():
        calls: dict[str, Call] = {"dense": lambda: dense(x), "lottoc": lambda: sparse(x)}
        expected = calls["dense"]().double()
        error = float((calls["lottoc"]().double() - expected).abs().max() / expected.abs().max())
        compiled: dict[str, Call] = {}
        for name, module in (("dense", dense), ("lottoc", sparse)):
            faster = torch.compile(module)
            compiled[f"{name}, compiled"] = lambda faster=faster: faster(x)
        times = microseconds(calls | compiled, samples)
    return {
        "batch": batch,
        "length": length,
        "dtype": "float16",
        "microseconds": times,
        "error": error,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--quick", action="store_true", help="one batch of each shape")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("this benchmark needs an NVIDIA GPU and a torch with CUDA; nothing was measured")
        return
    capability = torch.cuda.get_device_capability()
    if capability < (8, 0):
        print(f"compute capability {capability} has no sparse tensor cores; nothing was measured")
        return
    samples = 10 if arguments.quick else 50
    tried = ("cutlass",) if capability[0] == 8 else ("cusparselt", "cutlass")
    batches = BATCHES[:1] if arguments.quick else BATCHES
    cells: list[dict[str, Any]] = []
    failed: list[str] = []
    for kernels, dtype, shape, batch in itertools.product(tried, TYPES, SHAPES, batches):
        try:
            cells.append(layer(*shape, batch, dtype, kernels, samples))
        except RuntimeError as error:  # kernels that torch does not have for this GPU
            failed.append(f"{kernels}, {dtype}, {shape}, {batch}: {str(error).splitlines()[0]}")
            continue
        print(json.dumps(cells[-1]), flush=True)
    semi_structured.kernels = "auto"
    blocks = [block(batch, 512, samples) for batch in ((1,) if arguments.quick else (1, 8))]
    result = {
        "machine": {
            "gpu": torch.cuda.get_device_name(),
            "capability": list(capability),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "python": platform.python_version(),
        },
        "summary": {
            "cells": len(cells),
            "least over torch": min((c["over torch"] for c in cells), default=None),
            "least over dense": min((c["over dense"] for c in cells), default=None),
            "most over dense": max((c["over dense"] for c in cells), default=None),
        },
        "layers": cells,
        "blocks": blocks,
        "failed": failed,
    }
    (arguments.out / "gpu_semi_structured.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["summary"]))


if __name__ == "__main__":
    sys.exit(main())
