"""Compares lottoc with onnxsim, which prunes ONNX graphs too, on the same models.

    python benchmarks/rivals.py [--out benchmarks/results] [--samples 15]

MiniLM and EfficientNet-Lite0 (examples/*/prepare.py first), all linear layers or convolutions, by
magnitude: 90 % unstructured, 2:4, and three quarters in a form that is to run faster (lottoc's
groups of 128 rows, onnxsim's structured pruning). Each tool is a process of its own that reads
the model and writes a file; lottoc's time includes its verification. `retained` is the share of
the sum of magnitudes that is left in the weights of layers, `kept` that of weights that are not
zero: onnxsim's structured pruning leaves out layers that it cannot make smaller. Files are then
timed beside the dense model in one process, medians: pip install "lottoc[rivals]".
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring import machine, with_threads

from lottoc.backends.onnx.bench import medians, session
from lottoc.backends.onnx.notes import read_notes
from lottoc.backends.onnx.stored import stored_layers
from lottoc.backends.onnx.trial import Setting, make_inputs
from lottoc.frontends.onnx_file import OnnxFile

ROOT = Path(__file__).resolve().parents[1]
MODELS = {name: ROOT / "examples" / name / f"{name}.onnx" for name in ("minilm", "efficientnet")}
LAYERS = {"minilm": "linear", "efficientnet": "conv"}
CASES = {
    "90 % unstructured": ("sparsity = 90%", "prune_magnitude_cpp", {"sparsity": 0.9}),
    "2:4": ("pattern = 2:4", "prune_magnitude_cpp", {"n": 2, "m": 4}),
    "75 % faster": (
        "sparsity = 75%   pattern = groups(128)",
        "apply_structured_pruning_cpp",
        {"sparsity": 0.75},
    ),
}
"""What lottoc's ticket says, and what is called of onnxsim."""

ONNXSIM = """
import json, sys, onnx, onnxsim
function, options, source, target = sys.argv[1:]
onnx.save(getattr(onnxsim, function)(onnx.load(source), **json.loads(options)), target)
"""


def lottoc(name: str, says: str, folder: Path) -> Path:
    """Compile a recipe of one ticket."""
    misfits = ' - "_conv_stem" - "*depthwise*"' if name == "efficientnet" else ""
    recipe = folder / "rival.lotto"
    recipe.write_text(
        f'model net {{ source = onnx("{MODELS[name]}") }}\n'
        f"ticket pruned {{ layers = {LAYERS[name]}{misfits}   scope = layerwise   {says} }}\n"
        'emit onnx "lottoc.onnx" { ticket = pruned }\n'
    )
    command = [sys.executable, "-m", "lottoc.cli", "compile", str(recipe), "-q"]
    store = ["--store", str(folder / "store")]
    subprocess.run([*command, "-o", str(folder), *store], check=True)
    return folder / "lottoc.onnx"


def onnxsim(name: str, function: str, options: dict[str, Any], folder: Path) -> Path:
    """Call one function of onnxsim."""
    target = folder / "onnxsim.onnx"
    arguments = [function, json.dumps(options), str(MODELS[name]), str(target)]
    subprocess.run([sys.executable, "-c", ONNXSIM, *arguments], check=True, capture_output=True)
    return target


def magnitude(path: Path) -> tuple[float, int]:
    """The sum of magnitudes of all layers' weights, and how many are not zero."""
    file, total, kept = OnnxFile(path), 0.0, 0
    for each in stored_layers(file, read_notes(file)):
        weight = each.found.value()
        total += float(np.abs(weight).sum(dtype=np.float64))
        kept += int(np.count_nonzero(weight))
    return total, kept


def timed(paths: dict[str, Path], samples: int) -> dict[str, float]:
    """Seconds a run of each model, one image or one sentence of 128 tokens."""
    sessions = {key: session(path) for key, path in paths.items()}
    inputs = make_inputs(sessions["dense"].get_inputs(), Setting(1, 128))
    return medians(sessions, inputs, samples)


def compare(name: str, case: str, samples: int) -> dict[str, Any]:
    """Both tools on one model."""
    says, function, options = CASES[case]
    with tempfile.TemporaryDirectory() as made:
        folder, took = Path(made), {}
        start = time.perf_counter()
        paths = {"dense": MODELS[name], "lottoc": lottoc(name, says, folder)}
        took["lottoc"] = time.perf_counter() - start
        start = time.perf_counter()
        paths["onnxsim"] = onnxsim(name, function, options, folder)
        took["onnxsim"] = time.perf_counter() - start
        left = {key: magnitude(path) for key, path in paths.items()}
        seconds = {threads: with_threads(threads, timed, paths, samples) for threads in (1, 2)}
        return {
            "model": name,
            "case": case,
            **{
                tool: {
                    "bytes": paths[tool].stat().st_size / MODELS[name].stat().st_size,
                    "kept": left[tool][1] / left["dense"][1],
                    "retained": left[tool][0] / left["dense"][0],
                    "seconds": round(took[tool], 2),
                    "speedup": {t: round(s["dense"] / s[tool], 2) for t, s in seconds.items()},
                }
                for tool in ("lottoc", "onnxsim")
            },
        }


def main() -> None:
    """Compare, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--samples", type=int, default=15)
    arguments = parser.parse_args()
    where, rows = machine(), []
    for name in MODELS:
        for case in CASES:
            row = compare(name, case, arguments.samples)
            rows.append(row)
            for tool in ("lottoc", "onnxsim"):
                found = row[tool]
                print(
                    f"{name:<13} {case:<18} {tool:<8} file {found['bytes']:.3f} of dense  "
                    f"kept {found['kept']:.3f}  retained {found['retained']:.3f}  "
                    f"took {found['seconds']:.1f} s  "
                    f"speed {found['speedup'][1]:.2f}x and {found['speedup'][2]:.2f}x "
                    "(1 and 2 threads)",
                    flush=True,
                )
    arguments.out.mkdir(parents=True, exist_ok=True)
    result = json.dumps({"machine": where, "rows": rows}, indent=1)
    (arguments.out / "rivals.json").write_text(result + "\n")


if __name__ == "__main__":
    main()
