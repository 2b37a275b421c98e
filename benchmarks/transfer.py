"""Is a ticket found on one data set worth anything on another?

    python examples/transfer/prepare.py --cifar cifar10-jpeg.npz
    python benchmarks/transfer.py [--seeds 0 1 2] [--out benchmarks/results]

LeNet-300-100 on MNIST, the digits of scikit-learn and CIFAR-10, all as grey images of 28×28. On
each a ticket is found by iterative magnitude pruning to 95 % from one θ_0, and trained from it on
each of the others, beside the ticket found there, the dense network, and masks shuffled within
their layers, which keep as many weights in each. Writes `transfer.json`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from dilt import spread
from lenet_curve import ROOT, machine

DATA = ROOT / "examples" / "transfer"
SETS = ("mnist", "digits", "cifar")
TARGET = 0.95


def recipe(seed: int) -> str:
    """Every ticket on every data set."""
    lenet = f'torch("{ROOT}/examples/lenet/lenet.py:lenet_300_100")'
    lines = [f"model lenet {{ source = {lenet}   seed = {seed} }}"]
    adam = f"optimizer = adam(lr = 0.0012)   batch = 60   length = 600 steps   seed = {seed}"
    lines.append(f"training adam {{ {adam} }}")
    for name in SETS:
        parts = (
            f'{p} = npz("{DATA}/{name}.npz", x = "x_{p}", y = "y_{p}")' for p in ("train", "test")
        )
        lines.append(f"data {name} {{ {'   '.join(parts)} }}")
        found = f'data = {name}   layers = linear - "fc3"   sparsity = {TARGET}'
        lines.append(
            f"ticket from_{name} {{ {found}   method = imp(rounds = 5, rewind = 0 steps) }}"
        )
        lines.append(f"ticket dense_{name} {{ data = {name}   layers = linear   sparsity = 0% }}")
    for source in SETS:
        for name in SETS:
            shuffled = f"shuffle(from_{source}, seed = {seed})"
            lines.append(
                f"ticket {source}_to_{name} {{ data = {name}   mask = from_{source}.mask }}"
            )
            lines.append(f"ticket {source}_chance_{name} {{ data = {name}   mask = {shuffled} }}")
    return "\n".join(lines)


def build(seed: int, scratch: Path) -> dict[str, float]:
    """Accuracies of all tickets at one seed, in points."""
    file, out = scratch / f"transfer-{seed}.lotto", scratch / f"out-{seed}"
    file.write_text(recipe(seed))
    command = [sys.executable, "-m", "lottoc.cli", "compile", str(file), "-q", "-o", str(out)]
    subprocess.run([*command, "--store", str(scratch / "store")], check=True)
    tickets = json.loads((out / "report.json").read_text())["tickets"]
    return {name: 100 * ticket["metrics"]["accuracy"] for name, ticket in tickets.items()}


def summary(runs: list[dict[str, float]]) -> dict[str, object]:
    """By target: dense, and for each source its ticket, chance, and what separates them."""
    result: dict[str, object] = {}
    for name in SETS:
        row: dict[str, object] = {"dense": spread([run[f"dense_{name}"] for run in runs])}
        for source in SETS:
            own = [run[f"{source}_to_{name}"] for run in runs]
            chance = [run[f"{source}_chance_{name}"] for run in runs]
            native = [run[f"{name}_to_{name}"] for run in runs]
            row[f"found on {source}"] = {
                "accuracy": spread(own),
                "shuffled": spread(chance),
                "over shuffled": spread([a - b for a, b in zip(own, chance, strict=True)]),
                "over the ticket found there": spread(
                    [a - b for a, b in zip(own, native, strict=True)]
                ),
            }
        result[f"trained on {name}"] = row
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
        print(seed, json.dumps(runs[-1]), flush=True)
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "transfer.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
