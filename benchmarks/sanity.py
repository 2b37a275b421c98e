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
import tempfile
from pathlib import Path

from lenet_curve import ROOT, machine
from recipes import compiled, spread

RECIPE = ROOT / "examples" / "at_init" / "at_init.lotto"


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
                compiled(
                    RECIPE,
                    Path(scratch),
                    {"seed": seed, "target": target, "length": arguments.length},
                )
                for seed in arguments.seeds
            ]
        result[target] = summary(reports)
        print(target, json.dumps(result[target]), flush=True)
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "sanity.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
