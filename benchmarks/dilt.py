"""Is the core of tickets of different classes worth more than as many weights drawn by lot?

    python examples/transfer/prepare.py
    python benchmarks/dilt.py [--seeds 0 1 2] [--out benchmarks/results]

LeNet-300-100, tickets by iterative magnitude pruning from the same θ_0 to 90 %, found on the
digits 0 to 4 and 5 to 9 of 5,000 MNIST images, and on two halves drawn by lot. Their cores are
trained on MNIST and on another data set that none of them was found on, the digits of
scikit-learn, beside masks shuffled within their layers, which keep as many weights in each. What
two tickets of the whole data have in common, found in another order of the data, says how much
of a core comes of the start alone. Writes `dilt.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from lenet_curve import ROOT, machine

DATA = ROOT / "examples" / "transfer"
TARGET = 0.9
RECIPE = """
param seed = 0

model lenet {{ source = torch("{root}/examples/lenet/lenet.py:lenet_300_100")   seed = seed }}

data mnist {{
  train = npz("{data}/mnist.npz", x = "x_train", y = "y_train")
  test  = npz("{data}/mnist.npz", x = "x_test",  y = "y_test")
}}
data digits {{
  train = npz("{data}/digits.npz", x = "x_train", y = "y_train")
  test  = npz("{data}/digits.npz", x = "x_test",  y = "y_test")
}}

training adam  {{ optimizer = adam(lr = 0.0012)   batch = 60   length = 800 steps   seed = {seed} }}
training other {{
  optimizer = adam(lr = 0.0012)   batch = 60   length = 800 steps   seed = {other}
}}

ticket whole {{
  data     = mnist   training = adam
  layers   = linear - "fc3"
  sparsity = {target}
  method   = imp(rounds = 4, rewind = 0 steps)
}}
ticket again {{ like = whole   training = other }}

split classes {{ ticket = whole   partitions = by_class([0..4], [5..9]) }}
split halves  {{ ticket = whole   partitions = random(2, seed = {seed}) }}

mask common = whole.mask & again.mask
{tickets}
"""


def tickets() -> str:
    """Each mask and its shuffled twin, trained on each data set."""
    lines = []
    masks = {"classes": "classes.core", "halves": "halves.core", "common": "common"}
    for name, mask in {**masks, "whole": "whole.mask"}.items():
        for data in ("mnist", "digits"):
            where = f"data = {data}   training = adam"
            lines.append(f"ticket {name}_on_{data} {{ {where}   mask = {mask} }}")
            lines.append(f"ticket {name}_shuffled_{data} {{ {where}   mask = shuffle({mask}) }}")
    for data in ("mnist", "digits"):
        where = f"data = {data}   training = adam   layers = linear   sparsity = 0%"
        lines.append(f"ticket dense_on_{data} {{ {where} }}")
    return "\n".join(lines)


def build(seed: int, scratch: Path) -> dict[str, dict[str, float]]:
    """Metrics of all tickets at one seed."""
    text = RECIPE.format(
        root=ROOT, data=DATA, target=TARGET, seed=seed, other=seed + 1000, tickets=tickets()
    )
    file = scratch / f"dilt-{seed}.lotto"
    file.write_text(text)
    out = scratch / f"out-{seed}"
    command = [sys.executable, "-m", "lottoc.cli", "compile", str(file), "-q", "-o", str(out)]
    command += ["--store", str(scratch / "store"), "-D", f"seed={seed}"]
    subprocess.run(command, check=True)
    report = json.loads((out / "report.json").read_text())
    return {
        name: {**ticket["metrics"], "kept": ticket.get("kept"), "weights": ticket.get("weights")}
        for name, ticket in report["tickets"].items()
    }


def spread(values: list[float]) -> dict[str, float]:
    """Mean and standard error over seeds."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return {"mean": round(statistics.mean(values), 4), "error": round(error, 4)}


def summary(runs: list[dict[str, dict[str, float]]]) -> dict[str, object]:
    """Sizes of cores against chance, accuracies in points, and what shuffling loses of them."""
    result: dict[str, object] = {}
    for split in ("classes", "halves"):
        names = (f"{split}.core", f"{split}.specialist(1)", f"{split}.specialist(2)")
        share = spread([r[names[0]]["kept"] / r[names[0]]["weights"] for r in runs])
        density = 1 - TARGET
        accuracies = {name: spread([100 * r[name]["accuracy"] for r in runs]) for name in names}
        result[f"{split} core"] = {
            "density": share,
            "density expected of independent masks": round(density**2, 4),
            "accuracy on its own data": accuracies,
        }
    share = spread([r["common_on_mnist"]["kept"] / r["common_on_mnist"]["weights"] for r in runs])
    result["common core"] = {"density": share}
    for data in ("mnist", "digits"):
        rows: dict[str, object] = {}
        rows["dense"] = spread([100 * r[f"dense_on_{data}"]["accuracy"] for r in runs])
        for name in ("classes", "halves", "common", "whole"):
            own = [100 * r[f"{name}_on_{data}"]["accuracy"] for r in runs]
            shuffled = [100 * r[f"{name}_shuffled_{data}"]["accuracy"] for r in runs]
            rows[name] = {
                "accuracy": spread(own),
                "shuffled": spread(shuffled),
                "margin": spread([a - b for a, b in zip(own, shuffled, strict=True)]),
            }
        result[f"trained on {data}"] = rows
    return result


def main() -> None:
    """Build each seed and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    runs = []
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as scratch:
            runs.append(build(seed, Path(scratch)))
        result = {"machine": machine(), "seeds": arguments.seeds, **summary(runs), "runs": runs}
        print(seed, json.dumps({k: v for k, v in result.items() if k != "runs"}), flush=True)
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "dilt.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
