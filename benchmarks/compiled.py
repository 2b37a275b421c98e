"""Compiles an example and times it against its dense model, as `lottoc bench` does.

    python benchmarks/compiled.py efficientnet|mlp [--seeds 0 1 2] [--out benchmarks/results]

`efficientnet` prunes three of four weights of EfficientNet-Lite0's 1x1 convolutions (224 x 224
images; examples/efficientnet/prepare.py first), `mlp` trains the MLP of examples/mlp from some
seeds, whose accuracies are kept, and times the first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOTTOC = [sys.executable, "-m", "lottoc.cli"]
CASES = {
    "efficientnet": ("efficientnet-75.lotto", {"efficientnet-75.onnx": "1,8"}),
    "mlp": ("mlp.lotto", {"grouped.onnx": "1,16,128", "one.onnx": "1"}),
}


def main() -> None:
    """Compile, measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("example", choices=CASES)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    name = arguments.example
    recipe, artefacts = CASES[name]
    folder = ROOT / "examples" / name
    with tempfile.TemporaryDirectory() as made:
        seeds = arguments.seeds if name == "mlp" else [0]
        tickets = {}
        for seed in reversed(seeds):  # the first is compiled last, and timed
            options = ["-o", made, *(["-D", f"seed={seed}"] if name == "mlp" else [])]
            subprocess.run([*LOTTOC, "compile", str(folder / recipe), *options], check=True)
            tickets[seed] = json.loads(Path(made, "report.json").read_text())["tickets"]
        dense = folder / "efficientnet.onnx" if name == "efficientnet" else Path(made, "dense.onnx")
        timed = {}
        for artefact, batches in artefacts.items():
            command = [*LOTTOC, "bench", f"{made}/{artefact}", "--against", str(dense)]
            command += ["--batch", batches, "--threads", "1,2", "--samples", "31"]
            command += ["--format", "json"]
            found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            timed[artefact] = json.loads(found)
        report = json.loads(Path(made, "report.json").read_text())
    result = {
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "versions": report.get("versions", {}),
        "tickets": tickets[seeds[0]] if len(seeds) == 1 else tickets,
        "files": timed,
    }
    for artefact, report in timed.items():
        for cell in report["timings"]:
            print(
                f"{artefact}  batch {cell['batch']:>3}  threads {cell['threads']}"
                f"  dense {cell['dense'] * 1e3:.3f} ms"
                f"  {cell['speedup']:.2f}x  predicted {cell['predicted_speedup'] or 0:.2f}x"
            )
    (arguments.out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
