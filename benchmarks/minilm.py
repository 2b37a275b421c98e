"""Compiles the MiniLM recipes and measures what the README says of them.

    python benchmarks/minilm.py [--out benchmarks/results]

For each recipe `lottoc compile` runs as a user would run it, with an empty store, while the memory
of its whole process tree is sampled. The artefact is then judged without lottoc's own code: the
masks are made again with numpy, a masked dense model made with the `onnx` package is run beside the
artefact, and the weights that onnxruntime rebuilt are read from its optimized graph.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import psutil
from numpy.typing import NDArray
from onnx import numpy_helper

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "minilm"
MODEL = EXAMPLE / "minilm.onnx"
RECIPES = {"minilm-2of4": "2:4", "minilm-90": "90 %"}
MEGABYTE = 1e6

LAUNCH = """
import atexit, json, sys
path, sys.argv = sys.argv[1], ["lottoc", *sys.argv[2:]]
loaded = lambda: [name for name in ("onnx", "onnxruntime", "torch") if name in sys.modules]
atexit.register(lambda: open(path, "w").write(json.dumps(loaded())))
from lottoc.cli import main
main()
"""


def compile_recipe(name: str, out: Path) -> dict[str, Any]:
    """Compile a recipe in a child process; gives its time, memory and imports."""
    with tempfile.TemporaryDirectory() as folder:
        modules = Path(folder) / "modules.json"
        command = [sys.executable, "-c", LAUNCH, str(modules), "compile", "-q"]
        command += [str(EXAMPLE / f"{name}.lotto"), "-o", str(out), "--store", f"{folder}/store"]
        start = time.perf_counter()
        child = subprocess.Popen(command)
        peaks = sample(child)
        seconds = time.perf_counter() - start
        if child.returncode:
            raise SystemExit(f"lottoc compile {name}.lotto ended with {child.returncode}")
        return {
            "seconds": round(seconds, 2),
            **peaks,
            "imported": json.loads(modules.read_text()),
        }


def sample(child: subprocess.Popen[bytes]) -> dict[str, float]:
    """Peak memory of a process, of any one it started, and of all at one time, in MB.

    Peaks of single processes are the kernel's own record of resident memory. The sum is sampled
    every 5 ms; in it, pages that processes share, such as those of libraries, count once.
    """
    process = psutil.Process(child.pid)
    peaks = {"main_mb": 0.0, "child_mb": 0.0, "tree_mb": 0.0}
    while child.poll() is None:
        try:
            others = process.children(recursive=True)
            total = sum(proportional(p.pid) for p in (process, *others))
            high = [high_water(p.pid) for p in (process, *others)]
        except (psutil.NoSuchProcess, OSError):
            continue
        now = {"main_mb": high[0], "child_mb": max(high[1:], default=0), "tree_mb": total}
        peaks = {key: max(peaks[key], value / MEGABYTE) for key, value in now.items()}
        time.sleep(0.005)
    return {key: round(value, 1) for key, value in peaks.items()}


def proportional(pid: int) -> int:
    """What a process holds, of shared pages its share, in bytes; 0 once it has ended."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def high_water(pid: int) -> int:
    """The most memory a process has held so far, in bytes; 0 once it has ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def rebuilt_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Right-hand sides of MatMul, by name, as onnxruntime holds them after loading."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = f"{folder}/optimized.onnx"
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return weights_of(onnx.load(options.optimized_model_filepath))


def weights_of(model: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    """The constant right-hand sides of MatMul, [in, out]."""
    used = {node.input[1] for node in model.graph.node if node.op_type == "MatMul"}
    return {
        item.name: numpy_helper.to_array(item)
        for item in model.graph.initializer
        if item.name in used and len(item.dims) == 2
    }


def masked_dense(path: Path, masks: dict[str, NDArray[np.bool_]]) -> onnx.ModelProto:
    """The source model with the masks applied, made with the onnx package alone."""
    model = onnx.load(path)
    for item in model.graph.initializer:
        if item.name in masks:
            weight = numpy_helper.to_array(item) * masks[item.name]
            item.CopyFrom(numpy_helper.from_array(weight, item.name))
    return model


def two_of_four(weights: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.bool_]]:
    """The two largest of every four along the input, axis 0; the earlier one of equals."""
    masks = {}
    for key, weight in weights.items():
        fours = np.abs(weight).T.reshape(weight.shape[1], -1, 4)
        rank = np.argsort(np.argsort(-fours, axis=2, kind="stable"), axis=2)
        masks[key] = (rank < 2).reshape(weight.T.shape).T
    return masks


def one_of_ten(weights: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.bool_]]:
    """The largest tenth of all layers together."""
    sizes = np.sort(np.concatenate([np.abs(weight).ravel() for weight in weights.values()]))
    pruned = sizes.size * 9 // 10
    assert sizes[pruned - 1] < sizes[pruned], "which of two equal weights goes is not clear"
    return {key: np.abs(weight) >= sizes[pruned] for key, weight in weights.items()}


MASKS = {"minilm-2of4": two_of_four, "minilm-90": one_of_ten}


def judge(name: str, artefact: Path) -> dict[str, Any]:
    """Sizes, pattern and output error of an artefact."""
    dense, rebuilt = weights_of(onnx.load(MODEL)), rebuilt_weights(artefact)
    assert dense.keys() == rebuilt.keys()
    masks = MASKS[name](dense)
    for key, mask in masks.items():
        numbers, left = dense[key][mask], rebuilt[key][rebuilt[key] != 0]
        if rebuilt[key].shape == mask.shape:
            assert np.array_equal(rebuilt[key], dense[key] * mask), key
        else:  # units that nothing reads, or that nothing reaches, are gone
            assert np.isin(left, numbers).all(), key
            assert left.size <= numbers.size, key
    dense_bytes = sum(value.nbytes for value in dense.values())
    size, source = artefact.stat().st_size, MODEL.stat().st_size
    return {
        "source_bytes": source,
        "artefact_bytes": size,
        "layers": len(dense),
        "layers_made_smaller": sum(rebuilt[key].shape != dense[key].shape for key in dense),
        "pruned_dense_bytes": dense_bytes,
        "pruned_file_bytes": size - (source - dense_bytes),
        "ratio_of_pruned": round((size - (source - dense_bytes)) / dense_bytes, 4),
        "ratio_of_model": round(size / source, 4),
        "sparsity": round(
            1 - sum(m.sum() for m in masks.values()) / sum(m.size for m in masks.values()), 6
        ),
        **outputs(artefact, masks),
        "load_ms": {"dense": load_time(MODEL), "artefact": load_time(artefact)},
    }


def outputs(artefact: Path, masks: dict[str, NDArray[np.bool_]]) -> dict[str, float]:
    """Errors against the masked dense model, and likeness to the unpruned one."""
    masked = session(masked_dense(MODEL, masks).SerializeToString())
    pruned, original = session(str(artefact)), session(str(MODEL))
    error, scale = 0.0, 0.0
    likeness: list[float] = []
    for seed, shape in enumerate(((1, 7), (4, 32), (2, 128))):
        ids = np.random.default_rng(seed).integers(1000, 30000, shape)
        feed = dict(
            zip(
                ("input_ids", "attention_mask", "token_type_ids"),
                (ids, np.ones_like(ids), np.zeros_like(ids)),
                strict=True,
            )
        )
        expected, actual, full = (s.run(None, feed)[0] for s in (masked, pruned, original))
        error = max(error, float(np.abs(expected - actual).max()))
        scale = max(scale, float(np.abs(expected).max()))
        likeness += cosine(actual.mean(1), full.mean(1)).tolist()
    return {
        "max_abs_error": error,
        "largest_output": round(scale, 4),
        "mean_cosine_to_unpruned": round(float(np.mean(likeness)), 4),
    }


def cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine similarity row by row."""
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    result: NDArray[np.float32] = (left * right).sum(1) / norms
    return result


def session(model: str | bytes) -> onnxruntime.InferenceSession:
    """A single-threaded session."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def load_time(path: Path) -> int:
    """Median milliseconds to load a model, of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        session(str(path))
        times.append(time.perf_counter() - start)
    return round(sorted(times)[1] * 1000)


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
    }


def main() -> None:
    """Measure, print, and write `minilm.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    results = parser.parse_args().out
    if not MODEL.exists():
        subprocess.run([sys.executable, str(EXAMPLE / "prepare.py")], check=True)
    measured: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        # Compile first: until it is replaced, a new process counts the memory of its parent.
        compiled = {name: compile_recipe(name, out) for name in RECIPES}
        for name, pruning in RECIPES.items():
            judged = judge(name, out / f"{name}.onnx")
            measured[name] = {"pruning": pruning, "compile": compiled[name], "artefact": judged}
    print(json.dumps(measured, indent=2))
    results.mkdir(parents=True, exist_ok=True)
    (results / "minilm.json").write_text(json.dumps(measured, indent=2) + "\n")


if __name__ == "__main__":
    main()
