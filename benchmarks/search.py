"""Does a search guided by zero-cost proxies find better networks than one that is not?

    python benchmarks/search.py CIFAR.npz [--steps 150] [--searches 20] [--trials 12]
                                [--out benchmarks/results]

CIFAR.npz holds CIFAR-10 as JPEG files, as `rank_correlation.py` takes it. Every network of a space
of 72 (1 to 3 convolutions of 4 to 32 channels, kernels of 1 or 3, with or without batch norm and
shortcuts) is trained once on 4,000 images of 16×16, and tested on 1,000 images to choose by and on
2,000 others. Searches then look their accuracies up, so each can be run many times: plain TPE
(optuna), the same guided by naswot and snip, and random choice, all of which may train equally
many networks. Writes `search.json`: by number of networks trained, the mean over searches of the
accuracy of the best so far, chosen by the first test and measured on the second.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from dilt import spread
from lenet_curve import ROOT, machine
from rank_correlation import Block, images
from torch import nn

from lottoc.exploring import Explorer, Space
from lottoc.frontends.data import Arrays
from lottoc.frontends.torch_layers import layer_weight_names
from lottoc.frontends.torch_model import TorchModel
from lottoc.proxies import proxy_class
from lottoc.statistics.network import TorchNetwork
from lottoc.training.loop import evaluate, train
from lottoc.training.spec import TrainingSpec

SPACE = Space(
    {
        "depth": (1, 2, 3),
        "kernel": (1, 3),
        "norm": (False, True),
        "shortcut": (False, True),
        "width": (4, 16, 32),
    }
)
PROXIES = ("naswot", "snip")
Row = dict[str, float]


def build(depth: int, kernel: int, norm: bool, shortcut: bool, width: int) -> nn.Module:
    """The network of an architecture; the caller seeds the random numbers."""
    layers: list[nn.Module] = []
    given = 3
    for _ in range(depth):
        layers += [Block(given, width, kernel, norm, shortcut), nn.MaxPool2d(2)]
        given = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(given, 10))


def key(arguments: dict[str, Any]) -> str:
    """An architecture as text."""
    return json.dumps(arguments, sort_keys=True)


def measured(arguments: dict[str, Any], parts: dict[str, Arrays], steps: int) -> Row:
    """What proxies say of a network and how long that took, and what came of training it."""
    model = TorchModel(Path(__file__), lambda: build(**arguments))
    state = model.initial_state(0)
    layers = [name.removesuffix(".weight") for name in layer_weight_names(model.build(0))]
    began = time.process_time()
    row: Row = {}
    for name in PROXIES:
        network = TorchNetwork.of(model.build(0), state, parts["train"])
        row[name] = proxy_class(name)().measure(network, layers)
    scored = time.process_time()
    spec = TrainingSpec(steps=steps, batch=64, optimizer="adam", lr=0.003, schedule="cosine")
    trained = train(model.build(0), state, parts["train"], spec, start=0, stop=steps)
    ended = time.process_time()
    for name in ("choose", "test"):
        row[name] = evaluate(model.build(0), trained, parts[name])["accuracy"]
    return row | {"proxy_seconds": scored - began, "training_seconds": ended - scored}


def table(parts: dict[str, Arrays], steps: int) -> dict[str, Row]:
    """Every network of the space."""
    found = {}
    points = itertools.product(*SPACE.values.values())
    for values in points:
        arguments = dict(zip(SPACE.values, values, strict=True))
        found[key(arguments)] = measured(arguments, parts, steps)
        print(key(arguments), found[key(arguments)], flush=True)
    return found


def searched(kind: str, rows: dict[str, Row], trials: int, seed: int) -> list[str]:
    """The networks that a search trains, in its order."""
    if kind == "random":
        order = list(rows)
        Random(seed).shuffle(order)
        return order[:trials]

    def prior(arguments: dict[str, Any]) -> list[float]:
        return [rows[key(arguments)][name] for name in PROXIES]

    guide: Callable[[dict[str, Any]], list[float]] | None = prior if kind == "guided" else None
    explorer = Explorer(SPACE, trials, seed, lambda a: rows[key(a)]["choose"], guide)
    return [key(arguments) for arguments, _ in explorer.run()]


def curve(rows: dict[str, Row], trained: list[str]) -> list[float]:
    """After each training, the test accuracy of the best so far, in points."""
    best = [max(trained[: n + 1], key=lambda one: rows[one]["choose"]) for n in range(len(trained))]
    return [100 * rows[one]["test"] for one in best]


def main() -> None:
    """Train the space, search it, write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--searches", type=int, default=20)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    whole, test = images(arguments.data, "train", 5000), images(arguments.data, "test", 2000)
    parts = {
        "train": Arrays(whole.x[:4000], whole.y[:4000]),
        "choose": Arrays(whole.x[4000:], whole.y[4000:]),
        "test": test,
    }
    rows = table(parts, arguments.steps)
    result: dict[str, Any] = {"machine": machine(), "networks": len(rows), "steps": arguments.steps}
    accuracies = sorted((100 * row["test"] for row in rows.values()), reverse=True)
    result["best of the space"] = round(accuracies[0], 2)
    result["median of the space"] = round(statistics.median(accuracies), 2)
    for name in ("proxy_seconds", "training_seconds"):
        result[f"{name} of a network"] = round(float(np.mean([r[name] for r in rows.values()])), 3)
    for kind in ("random", "plain", "guided"):
        runs = [
            curve(rows, searched(kind, rows, arguments.trials, seed))
            for seed in range(arguments.searches)
        ]
        result[kind] = [spread(list(column)) for column in zip(*runs, strict=True)]
        print(kind, json.dumps(result[kind]), flush=True)
    result["rows"] = rows
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "search.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
