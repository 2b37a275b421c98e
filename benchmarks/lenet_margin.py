"""What the winning ticket's margin over its controls depends on: learning rate and sparsity.

    python benchmarks/lenet_margin.py [--seeds 0 1 2] [--out benchmarks/results]

The recipe of `examples/lenet` is compiled with several optimizers, each to 95 % and (four rounds
more) to 98.3 %, so that the ticket and its controls differ in nothing else. Liu et al. 2019,
"Rethinking the Value of Network Pruning", §6, found that the margin over a random initialization
is there at a small learning rate and not at a large one. Writes `lenet_margin.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from lenet_curve import EXAMPLE, ROOT, TICKETS, machine, recipe

OPTIMIZERS = (
    "sgd(lr = 0.1, momentum = 0.9)",
    "sgd(lr = 0.1)",
    "sgd(lr = 0.01, momentum = 0.9)",
    "adam(lr = 0.0012)",
)
TARGETS = {14: "95%", 19: "98.3%"}


def compile_case(optimizer: str, rounds: int, seed: int, scratch: Path) -> dict[str, float]:
    """Accuracy of dense and each ticket."""
    text = recipe(seed, rounds).replace("adam(lr = 0.0012)", optimizer)
    assert optimizer in text
    file = EXAMPLE / f".margin-{seed}-{rounds}-{OPTIMIZERS.index(optimizer)}.lotto"
    file.write_text(text)
    out = scratch / "out"
    command = [sys.executable, "-m", "lottoc.cli", "compile", str(file), "-q", "-o", str(out)]
    command += ["--store", str(scratch / "store"), "-D", f"target={TARGETS[rounds]}"]
    try:
        subprocess.run(command, check=True)
    finally:
        file.unlink()
    tickets = json.loads((out / "report.json").read_text())["tickets"]
    return {name: ticket["metrics"]["accuracy"] for name, ticket in tickets.items()}


def summary(cases: list[dict[str, float]]) -> dict[str, object]:
    """Mean, least and standard error of the ticket's margins in points; the spread of seeds."""
    result: dict[str, object] = {
        name: [case[name] for case in cases] for name in ("dense", *TICKETS)
    }
    for name in ("dense", "random_init", "signs", "shuffled"):
        margins = [100 * (case["winning"] - case[name]) for case in cases]
        result[f"winning - {name}, points"] = {
            "mean": round(statistics.mean(margins), 3),
            "least": round(min(margins), 3),
        }
    winning = [100 * case["winning"] for case in cases]
    result["spread of winning, points"] = round(max(winning) - min(winning), 3)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    result: dict[str, object] = {"machine": machine(), "seeds": arguments.seeds}
    for optimizer in OPTIMIZERS:
        for rounds, target in TARGETS.items():
            with tempfile.TemporaryDirectory() as scratch:
                cases = [
                    compile_case(optimizer, rounds, seed, Path(scratch)) for seed in arguments.seeds
                ]
            result[f"{optimizer} to {target}"] = summary(cases)
            print(optimizer, target, json.dumps(summary(cases)), flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "lenet_margin.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
