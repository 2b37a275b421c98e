"""Standard pruning, winning ticket, random tickets and signs on CIFAR-10, over seeds.

    python benchmarks/table1.py cifar10-jpeg.npz [--seeds 0 1 2] [--network resnet vit] [--full]
                                [--out benchmarks/results]

The recipe of `examples/table1`: a narrow ResNet-18, and a small vision transformer, on 5,000 images
of 16 x 16, pruned to 90 % in four rounds. With `--full` ResNet-18 on all images for 160 epochs,
95 % in fourteen rounds: that is for a machine that has days. Writes `table1.json`: test accuracies,
mean and standard error over seeds, and each ticket's paired difference from the dense network.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from lenet_curve import ROOT, machine
from recipes import compiled, spread

EXAMPLE = ROOT / "examples" / "table1"
NETWORKS: dict[str, dict[str, object]] = {
    "resnet": {},
    "vit": {"network": '"vit.py:vit_small"', "rate": 0.02},
}
FULL: dict[str, object] = {
    "network": '"resnet.py:resnet18"',
    "images": '"cifar.npz"',
    "target": "95%",
    "rounds": 14,
    "rewind": "2000 steps",
    "length": "160 epochs",
    "batch": 128,
    "changes": "[flip, crop(4)]",
}


def prepare(source: Path, full: bool) -> None:
    """The example's data, unless they are there already."""
    script = ROOT / "examples" / "cifar" / "prepare.py"
    size = ["--train", "50000", "--test", "10000"] if full else ["--train", "5000", "--size", "16"]
    name = "cifar.npz" if full else "cifar16.npz"
    command = [sys.executable, str(script), str(source), *size, "-o", str(EXAMPLE / name)]
    subprocess.run(command, check=True)


def summary(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Over seeds."""
    rows = [{n: t["metrics"]["accuracy"] for n, t in r["tickets"].items()} for r in reports]
    return {
        name: {
            "accuracy": spread([row[name] for row in rows]),
            "less dense": spread([row[name] - row["dense"] for row in rows]),
        }
        for name in rows[0]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--network", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    prepare(arguments.data, arguments.full)
    chosen = {"resnet18": FULL} if arguments.full else {n: NETWORKS[n] for n in arguments.network}
    result: dict[str, Any] = {"machine": machine(), "seeds": arguments.seeds}
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, defines in chosen.items():
        reports: list[dict[str, Any]] = []
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory() as scratch:
                recipe = EXAMPLE / "table1.lotto"
                reports.append(compiled(recipe, Path(scratch), {"seed": seed, **defines}))
            result[name] = summary(reports)
            print(name, seed, json.dumps(result[name]), flush=True)
            (arguments.out / "table1.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
