"""How well zero-cost proxies put small networks in the order of their trained accuracy.

    python benchmarks/rank_correlation.py CIFAR.npz [--count 32] [--seeds 0 1 2] [--steps 300]

CIFAR.npz holds CIFAR-10 as JPEG files end to end (`train_jpeg`, `train_offset`, `train_label`, and
`test_…`). Networks are drawn once: 1 to 4 stages of 1 or 2 convolutions (3×3 or 1×1, with or
without batch norm and a shortcut) of 4 to 32 channels, pooled to ten classes. Each is trained on
5,000 images of 16×16 for `--steps` steps of 64 with Adam, once a seed, and tested on 2,000.
Proxies see 64 training images and the weights of the same seed. Spearman's ρ and Kendall's τ
are over the networks, of mean accuracy with the mean rank of the proxy over seeds, and for every
seed by itself. Writes `rank_correlation.json`.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from lenet_curve import ROOT, machine
from PIL import Image
from torch import nn

from lottoc.frontends.data import Arrays
from lottoc.frontends.torch_layers import layer_weight_names
from lottoc.frontends.torch_model import TorchModel
from lottoc.proxies import PROXIES, proxy_class
from lottoc.statistics.network import TorchNetwork
from lottoc.training.loop import evaluate, train
from lottoc.training.spec import TrainingSpec


def images(path: Path, split: str, count: int) -> Arrays:
    """The first images of a split, 16×16, around zero."""
    with np.load(path) as file:
        offset, blob = file[f"{split}_offset"], file[f"{split}_jpeg"]
        labels = file[f"{split}_label"][:count].astype(np.int64)
        files = [blob[offset[i] : offset[i + 1]].tobytes() for i in range(count)]
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in files])
    small = pixels.reshape(count, 16, 2, 16, 2, 3).mean((2, 4)) / 128 - 1
    return Arrays(np.ascontiguousarray(small.transpose(0, 3, 1, 2), dtype=np.float32), labels)


class Block(nn.Module):
    """A convolution, batch norm or none, a ReLU, around it a shortcut or none."""

    def __init__(self, given: int, width: int, kernel: int, norm: bool, shortcut: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(given, width, kernel, padding=kernel // 2, bias=not norm)
        self.norm = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.shortcut = shortcut and given == width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images in, images out."""
        out = self.norm(self.conv(x)).relu()
        return x + out if self.shortcut else out


def architecture(draw: np.random.Generator) -> dict[str, object]:
    """One of the space, drawn at random."""
    stages = int(draw.integers(1, 5))
    return {
        "widths": [int(w) for w in draw.choice([4, 8, 16, 32], stages)],
        "blocks": [int(b) for b in draw.integers(1, 3, stages)],
        "kernels": [int(k) for k in draw.choice([1, 3], stages)],
        "norm": bool(draw.integers(2)),
        "shortcut": bool(draw.integers(2)),
    }


def build(shape: dict[str, object]) -> nn.Module:
    """The network of an architecture; the caller seeds the random numbers."""
    layers: list[nn.Module] = []
    given = 3
    for width, blocks, kernel in zip(
        shape["widths"], shape["blocks"], shape["kernels"], strict=True
    ):
        for _ in range(blocks):
            layers.append(Block(given, width, kernel, shape["norm"], shape["shortcut"]))
            given = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(given, 10))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0; equal values share the mean of theirs."""
    below = (values[None, :] < values[:, None]).sum(1)
    return below + ((values[None, :] == values[:, None]).sum(1) - 1) / 2


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of ranks."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def kendall(a: np.ndarray, b: np.ndarray) -> float:
    """τ_b: concordant less discordant pairs, ties taken out of both."""
    i, j = np.triu_indices(len(a), 1)
    x, y = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
    return float((x * y).sum() / math.sqrt((x != 0).sum() * (y != 0).sum()))


def measured(
    shape: dict[str, object], seed: int, data: Arrays, test: Arrays, steps: int
) -> dict[str, float]:
    """Accuracy after training, number of weights, and what each proxy says."""
    model = TorchModel(Path(__file__), lambda: build(shape))
    state = model.initial_state(seed)
    layers = [name.removesuffix(".weight") for name in layer_weight_names(model.build(0))]
    found = {"params": float(sum(state.layer(name).size for name in layers))}
    for name in PROXIES:
        network = TorchNetwork.of(model.build(0), state, data)
        found[name] = proxy_class(name)().measure(network, layers)
    spec = TrainingSpec(
        steps=steps, batch=64, optimizer="adam", lr=0.003, schedule="cosine", seed=seed
    )
    trained = train(model.build(0), state, data, spec, start=0, stop=steps)
    return found | {"accuracy": evaluate(model.build(0), trained, test)["accuracy"]}


def correlations(rows: list[list[dict[str, float]]]) -> dict[str, object]:
    """For every proxy: ρ and τ over networks, with seeds averaged and one by one."""
    accuracy = np.array([[seed["accuracy"] for seed in row] for row in rows])
    result: dict[str, object] = {}
    top = np.argsort(-accuracy.mean(1))[: max(4, len(rows) // 4)]
    for name in (*PROXIES, "params"):
        values = np.array([[seed[name] for seed in row] for row in rows])
        mean = np.stack([ranks(column) for column in values.T]).mean(0)
        each = [spearman(v, a) for v, a in zip(values.T, accuracy.T, strict=True)]
        result[name] = {
            "spearman": round(spearman(mean, accuracy.mean(1)), 3),
            "kendall": round(kendall(mean, accuracy.mean(1)), 3),
            "spearman of the best quarter": round(spearman(mean[top], accuracy.mean(1)[top]), 3),
            "spearman by seed": [round(value, 3) for value in each],
            "not finite": int((~np.isfinite(values)).sum()),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    data, test = images(arguments.data, "train", 5000), images(arguments.data, "test", 2000)
    draw = np.random.default_rng(0)
    shapes = [architecture(draw) for _ in range(arguments.count)]
    start, rows = time.monotonic(), []
    for number, shape in enumerate(shapes):
        rows.append([measured(shape, s, data, test, arguments.steps) for s in arguments.seeds])
        print(
            number, f"{time.monotonic() - start:.0f} s", shape, rows[-1][0]["accuracy"], flush=True
        )
    result = {
        "machine": machine(),
        "seeds": arguments.seeds,
        "networks": arguments.count,
        "steps": arguments.steps,
        "accuracy": [round(float(np.mean([s["accuracy"] for s in row])), 4) for row in rows],
        "correlation with trained accuracy": correlations(rows),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "rank_correlation.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["correlation with trained accuracy"], indent=2))


if __name__ == "__main__":
    main()
