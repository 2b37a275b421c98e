"""Do masks found before training survive being shuffled, and do those found by training not?

    python benchmarks/sanity.py [--seeds 0 1 2] [--targets 95% 98%] [--length "1500 steps"]
                                [--out benchmarks/results]

The recipe of `examples/at_init` is compiled once a seed and sparsity: LeNet-300-100 on 5,000 MNIST
images. What is compared is paired: a ticket and its control have the same seed, training and
amount. Writes `sanity.json`: accuracies, and of each control the mean drop in points with its
standard error over seeds.
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

RECIPE = ROOT / "examples" / "at_init" / "at_init.lotto"


def compiled(seed: int, target: str, length: str, scratch: Path) -> dict[str, object]:
    """The report of one build; a contract that does not hold is a result too."""
    text = "\n".join(
        line for line in RECIPE.read_text().splitlines() if not line.startswith("require")
    )
    file = RECIPE.with_name(f".sanity-{seed}-{target.rstrip('%')}.lotto")
    file.write_text(text + "\n")
    out = scratch / f"{seed}-{target}"
    command = [sys.executable, "-m", "lottoc.cli", "compile", str(file), "-q", "-o", str(out)]
    command += ["--store", str(scratch / "store"), "-D", f"seed={seed}", "-D", f"target={target}"]
    command += ["-D", f"length={length}"]
    try:
        subprocess.run(command, check=True)
    finally:
        file.unlink()
    report: dict[str, object] = json.loads((out / "report.json").read_text())
    return report


def spread(values: list[float]) -> dict[str, float]:
    """Mean and standard error, in points."""
    points = [100 * value for value in values]
    error = statistics.stdev(points) / len(points) ** 0.5 if len(points) > 1 else 0.0
    return {"mean": round(statistics.mean(points), 2), "error": round(error, 2)}


def summary(reports: list[dict[str, object]]) -> dict[str, object]:
    """Accuracies of tickets, and drops of controls, over seeds."""
    tickets = [r["tickets"] for r in reports]
    names = [name for name in tickets[0] if "." not in name]
    checks = [r["sanity"]["checks"] for r in reports]
    return {
        "accuracy": {n: spread([t[n]["metrics"]["accuracy"] for t in tickets]) for n in names},
        "drops": {
            ticket: {
                control: spread([c[ticket]["controls"][control]["drop"] for c in checks])
                for control in row["controls"]
            }
            for ticket, row in checks[0].items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--targets", nargs="+", default=["95%", "98%"])
    parser.add_argument("--length", default="1500 steps")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    result: dict[str, object] = {"machine": machine(), "seeds": arguments.seeds}
    result["length"] = arguments.length
    for target in arguments.targets:
        with tempfile.TemporaryDirectory() as scratch:
            reports = [
                compiled(seed, target, arguments.length, Path(scratch)) for seed in arguments.seeds
            ]
        result[target] = summary(reports)
        print(target, json.dumps(result[target]), flush=True)
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "sanity.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
