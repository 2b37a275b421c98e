"""Compiles an example and times it against its dense model, as `lottoc bench` does.

    python benchmarks/compiled.py efficientnet|mlp|mlp-sparse [--seeds 0 1 2] [-D NAME=VALUE]

`efficientnet` prunes three of four weights of EfficientNet-Lite0's 1x1 convolutions (224 x 224
images; examples/efficientnet/prepare.py first). `mlp` and `mlp-sparse` train the MLP of
examples/mlp, pruned by rounds and sparse from the start (examples/lenet/prepare.py first), from
some seeds, whose tickets are kept, and time the first. `--out` is benchmarks/results unless said.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
LOTTOC = [sys.executable, "-m", "lottoc.cli"]


@dataclass(frozen=True)
class Case:
    """A recipe, the artefacts that are timed, and the model that they are timed against."""

    recipe: Path
    artefacts: Mapping[str, str]
    """The batch sizes of each."""
    dense: Path
    """Relative to what is compiled; a model that is there already has a path of its own."""
    seeded: bool = True


CASES = {
    "efficientnet": Case(
        EXAMPLES / "efficientnet" / "efficientnet-75.lotto",
        {"efficientnet-75.onnx": "1,8"},
        EXAMPLES / "efficientnet" / "efficientnet.onnx",
        seeded=False,
    ),
    "mlp": Case(
        EXAMPLES / "mlp" / "mlp.lotto",
        {"grouped.onnx": "1,16,128", "one.onnx": "1"},
        Path("dense.onnx"),
    ),
    "mlp-sparse": Case(
        EXAMPLES / "mlp" / "sparse.lotto",
        {"grouped.onnx": "1,16,128", "one.onnx": "1"},
        Path("dense.onnx"),
    ),
}


def main() -> None:
    """Compile, measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("example", choices=CASES)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("-D", dest="defines", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    case = CASES[arguments.example]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        seeds = arguments.seeds if case.seeded else [0]
        tickets = {}
        for seed in reversed(seeds):  # the first is compiled last, and timed
            defines = [*arguments.defines, *([f"seed={seed}"] if case.seeded else [])]
            report = compile_(case.recipe, made, defines)
            tickets[seed] = report["tickets"]
        timed = {
            artefact: bench(made / artefact, made / case.dense, batches)
            for artefact, batches in case.artefacts.items()
        }
    result = {
        "command": " ".join(["compiled.py", *sys.argv[1:]]),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "versions": report.get("versions", {}),
        "tickets": tickets[seeds[0]] if len(seeds) == 1 else tickets,
        "files": timed,
    }
    for artefact, found in timed.items():
        for cell in found["timings"]:
            print(
                f"{artefact}  batch {cell['batch']:>3}  threads {cell['threads']}"
                f"  dense {cell['dense'] * 1e3:.3f} ms"
                f"  {cell['speedup']:.2f}x  predicted {cell['predicted_speedup'] or 0:.2f}x"
            )
    name = arguments.example.replace("-", "_")
    (arguments.out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")


def compile_(recipe: Path, out: Path, defines: list[str]) -> dict[str, Any]:
    """The report of one build."""
    options = [option for define in defines for option in ("-D", define)]
    subprocess.run([*LOTTOC, "compile", str(recipe), "-o", str(out), *options], check=True)
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report


def bench(artefact: Path, dense: Path, batches: str) -> dict[str, Any]:
    """What `lottoc bench` measures, 1 and 2 threads."""
    command = [*LOTTOC, "bench", str(artefact), "--against", str(dense), "--batch", batches]
    command += ["--threads", "1,2", "--samples", "31", "--format", "json"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    timed: dict[str, Any] = json.loads(found)
    return timed


if __name__ == "__main__":
    main()
