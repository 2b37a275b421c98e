"""How good is the best network inside a random one?

    python benchmarks/supermask.py [--seeds 0 1 2] [--kept 70% 50% 30%] [--length "1500 steps"]
                                   [--out benchmarks/results]

The recipe of `examples/supermask` is compiled once a seed and share of weights kept: LeNet-300-100
on 5,000 MNIST images. Writes `supermask.json`: test accuracies, mean and standard error over seeds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from lenet_curve import ROOT, machine
from recipes import compiled, spread

RECIPE = ROOT / "examples" / "supermask" / "supermask.lotto"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kept", nargs="+", default=["70%", "50%", "30%"])
    parser.add_argument("--length", default="1500 steps")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    result: dict[str, object] = {"machine": machine(), "seeds": arguments.seeds}
    result["length"] = arguments.length
    for kept in arguments.kept:
        with tempfile.TemporaryDirectory() as scratch:
            defines = {"kept": kept, "length": arguments.length}
            reports = [
                compiled(RECIPE, Path(scratch), {"seed": seed, **defines})
                for seed in arguments.seeds
            ]
        tickets = [report["tickets"] for report in reports]
        result[kept] = {
            name: spread([t[name]["metrics"]["accuracy"] for t in tickets]) for name in tickets[0]
        }
        print(kept, json.dumps(result[kept]), flush=True)
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "supermask.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
