"""Accuracy against sparsity for the winning ticket and its controls, over several seeds.

    python benchmarks/lenet_curve.py [--seeds 0 1 2] [--out benchmarks/results]

For each seed and each pruning round the recipe of `examples/lenet` is compiled with that round's
sparsity as target, so that the controls are trained at every point of the curve. Results of
earlier rounds come from the store: a round is trained once. Writes `lenet_curve.json` and `.svg`.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "lenet"
TICKETS = ("winning", "random_init", "signs", "shuffled")
ROUNDS = 14
FINAL = 0.95
POINTS = (2, 4, 6, 8, 10, 12, 14)


def recipe(seed: int, rounds: int) -> str:
    """The example's recipe at one point of the curve, without its contracts."""
    text = (EXAMPLE / "lenet.lotto").read_text()
    text = re.sub(r"^require .*$", "", text, flags=re.M)
    text = re.sub(r"^emit .*$", "", text, flags=re.M)
    text = text.replace("seed = 0", f"seed = {seed}")
    text = text.replace("batch = 60", f"batch = 60   seed = {seed}")
    text = text.replace("weights = reinit", f"weights = reinit(seed = {seed + 1})")
    text = text.replace("shuffle(winning)", f"shuffle(winning, seed = {seed})")
    return text.replace("rounds = 14", f"rounds = {rounds}")


def sparsity(rounds: int) -> str:
    """What `rounds` of the example's fourteen rounds prune."""
    return repr(1 - (1 - FINAL) ** (rounds / ROUNDS))


def compile_point(seed: int, rounds: int, store: Path, folder: Path) -> dict[str, object]:
    """Compile one point; gives the report's tickets."""
    target = "95%" if rounds == ROUNDS else sparsity(rounds)
    file = EXAMPLE / f".curve-{seed}-{rounds}.lotto"
    file.write_text(recipe(seed, rounds))
    out = folder / f"{seed}-{rounds}"
    command = [sys.executable, "-m", "lottoc.cli", "compile", str(file), "-q"]
    command += ["-o", str(out), "--store", str(store), "-D", f"target={target}"]
    try:
        subprocess.run(command, check=True)
    finally:
        file.unlink()
    tickets: dict[str, object] = json.loads((out / "report.json").read_text())["tickets"]
    return tickets


def measure(seeds: list[int]) -> dict[str, object]:
    """The whole curve."""
    points: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in seeds:
            for rounds in POINTS:
                start = time.monotonic()
                tickets = compile_point(seed, rounds, Path(scratch) / "store", Path(scratch))
                point: dict[str, object] = {"seed": seed, "rounds": rounds}
                for name, ticket in tickets.items():
                    metrics = ticket["metrics"]  # type: ignore[index]
                    point[name] = metrics["accuracy"]
                    if name == "winning":
                        point["sparsity"] = metrics["sparsity"]
                points.append(point)
                print(point, f"{time.monotonic() - start:.0f} s", flush=True)
    return {"machine": machine(), "seeds": seeds, "points": points, "final": final(points)}


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    name = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {"cpu": name, "system": platform.platform(), "python": platform.python_version()}


def final(points: list[dict[str, object]]) -> dict[str, object]:
    """At the last round: mean and standard deviation over seeds, and each margin of the ticket."""
    last = [p for p in points if p["rounds"] == ROUNDS]
    result: dict[str, object] = {}
    for name in ("dense", *TICKETS):
        values = [float(p[name]) for p in last]  # type: ignore[arg-type]
        result[name] = {
            "mean": statistics.mean(values),
            "spread": max(values) - min(values),
            "values": values,
        }
    for name in ("random_init", "shuffled", "signs", "dense"):
        margins = [float(p["winning"]) - float(p[name]) for p in last]  # type: ignore[arg-type]
        result[f"winning - {name}"] = {"mean": statistics.mean(margins), "least": min(margins)}
    return result


def plot(result: dict[str, object], path: Path) -> None:
    """Accuracy against the share of weights kept, mean and range over seeds."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "lottoc"
    import matplotlib.pyplot as plt

    points = result["points"]
    assert isinstance(points, list)
    figure, axes = plt.subplots(figsize=(7, 4.5))
    for name in TICKETS:
        kept, mean, low, high = [], [], [], []
        for rounds in POINTS:
            here = [p for p in points if p["rounds"] == rounds]
            values = [p[name] for p in here]
            kept.append(100 * (1 - here[0]["sparsity"]))
            mean.append(100 * statistics.mean(values))
            low.append(100 * min(values))
            high.append(100 * max(values))
        axes.plot(kept, mean, marker="o", markersize=3, label=name)
        axes.fill_between(kept, low, high, alpha=0.15)
    dense = 100 * statistics.mean(p["dense"] for p in points)
    axes.axhline(dense, color="black", linestyle="--", linewidth=1, label="dense")
    axes.set_xscale("log")
    axes.invert_xaxis()
    ticks = [80, 50, 30, 20, 10, 5]
    axes.set_xticks(ticks, [f"{t} %" for t in ticks])
    axes.minorticks_off()
    axes.set_xlabel("weights kept in fc1 and fc2")
    axes.set_ylabel("test accuracy, %")
    axes.set_title("LeNet-300-100 on 5,000 MNIST images, IMP rewound to step 100")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    result = measure(arguments.seeds)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "lenet_curve.json").write_text(json.dumps(result, indent=2) + "\n")
    plot(result, arguments.out / "lenet_curve.svg")
    print(json.dumps(result["final"], indent=2))


if __name__ == "__main__":
    main()
