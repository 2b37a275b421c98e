"""Do tickets of a residual network need late rewinding, and does the error barrier say when?

    python benchmarks/late_rewinding.py cifar10-jpeg.npz [--seeds 0 1 2] [--length "400 steps"]
                                        [--out benchmarks/results]

The recipe of `examples/late_rewinding` is compiled once a seed: ResNet-8 on 5,000 CIFAR-10 images
of 16 x 16. Writes `late_rewinding.json`: accuracies, mean and standard error over seeds, the paired
gain of late over early rewinding, barriers by step; and `late_rewinding.svg`, barriers by step.
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

from lottoc.report.plot import line_plot

RECIPE = ROOT / "examples" / "late_rewinding" / "late_rewinding.lotto"


def prepare(source: Path) -> None:
    """The example's data, unless they are there already."""
    script = ROOT / "examples" / "cifar" / "prepare.py"
    options = ["--size", "16", "--train", "5000", "-o", str(RECIPE.with_name("cifar16.npz"))]
    subprocess.run([sys.executable, str(script), str(source), *options], check=True)


def summary(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Over seeds."""
    accuracy = [{n: t["metrics"]["accuracy"] for n, t in r["tickets"].items()} for r in reports]
    barriers = [r["stability"]["basin"]["barriers"] for r in reports]
    return {
        "accuracy": {name: spread([a[name] for a in accuracy]) for name in accuracy[0]},
        "later - early": spread([a["later"] - a["early"] for a in accuracy]),
        "early - early_shuffled": spread([a["early"] - a["early_shuffled"] for a in accuracy]),
        "later - later_shuffled": spread([a["later"] - a["later_shuffled"] for a in accuracy]),
        "barriers": {
            row["step"]: spread([b[i]["barrier"] for b in barriers])
            for i, row in enumerate(barriers[0])
        },
        "stable from": [r["stability"]["basin"]["step"] for r in reports],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--length", default="400 steps")
    parser.add_argument("--target", default="90%")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    prepare(arguments.data)
    reports: list[dict[str, Any]] = []
    arguments.out.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as scratch:
            defines = {"seed": seed, "length": arguments.length, "target": arguments.target}
            reports.append(compiled(RECIPE, Path(scratch), defines))
        found = summary(reports)
        result = {"machine": machine(), "seeds": arguments.seeds[: len(reports)], **found}
        result |= {"length": arguments.length, "target": arguments.target}
        print(json.dumps(found), flush=True)
        (arguments.out / "late_rewinding.json").write_text(json.dumps(result, indent=2) + "\n")
    means = [(step, row["mean"]) for step, row in found["barriers"].items()]
    drawn = line_plot(
        f"ResNet-8, CIFAR-10 at 16 x 16, {arguments.length}, {len(reports)} seeds",
        "step at which copies part",
        "barrier, points of error",
        means,
        level=(2.0, "2 points"),
    )
    (arguments.out / "late_rewinding.svg").write_text(drawn)


if __name__ == "__main__":
    main()
