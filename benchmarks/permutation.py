"""What 2:4 keeps of real weights: as they are, in our order, and in the published search's.

    python benchmarks/permutation.py [--out benchmarks/results] [--only efficientnet] [--quick]
                                     [--resume]

For each set of layers of MiniLM and EfficientNet-Lite0 that read the same channels, and that may be
reordered, one order is searched over their stacked magnitudes: by lottoc, and by the bounded
regression of Pool & Yu 2021 (`tests/masks/bounded_regression.py`, with its default of 100 escapes;
ours has as many). Layers that share a set, or whose channels cannot move, are searched alone as
well, to compare the searches on every layer whose inputs are a multiple of four. The bound is the
larger half of each row. Times are those of the processor. onnxsim prunes the whole model to 2:4; it
has no search, and what it keeps should be what 2:4 keeps of the weights as they are. The published
search takes some 20 minutes of processor time for MiniLM; rows are written as they come, and with
`--resume` those that are there already stay.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import LiftConstantsToInitializersPass, ShapeInferencePass

from lottoc.backends.onnx.structure.spaces import channel_classes
from lottoc.frontends.onnx_model import OnnxModel, open_onnx
from lottoc.masks.permute import kept_score, search_order

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "masks"))

from bounded_regression import BoundedRegression  # noqa: E402

MODELS = ("efficientnet", "minilm")
N, M = 2, 4


def matrix(model: OnnxModel, layers: list[str]) -> NDArray[np.float32]:
    """The magnitudes [rows, channels] of layers that read the same channels, one over the other."""
    weights = [np.abs(np.asarray(model.layer(name), np.float32)) for name in layers]
    return np.concatenate([np.moveaxis(w, 1, -1).reshape(-1, w.shape[1]) for w in weights])


def bound(stacked: NDArray[np.float32]) -> float:
    """The larger half of each row."""
    half = stacked.shape[1] // 2
    return float(np.partition(stacked, half, axis=1)[:, half:].sum(dtype=np.float64))


def classes(path: Path, model: OnnxModel) -> tuple[list[list[str]], dict[str, str]]:
    """Sets of layers that read the same channels, and why some layers are in none."""
    program = LiftConstantsToInitializersPass(size_limit=0)(ir.load(path)).model
    of, fixed = channel_classes(ShapeInferencePass()(program).model.graph)
    sets: dict[int, list[str]] = {}
    reasons = {}
    for name, weight in model.weights.items():
        if weight.layer.shape[1] % M:
            continue
        if weight.stored.name in of:
            sets.setdefault(of[weight.stored.name], []).append(name)
        elif weight.stored.name in fixed:
            reasons[name] = fixed[weight.stored.name]
    return list(sets.values()), reasons


def timed(search: Any) -> tuple[Any, float]:
    """What a search gives, and the processor's seconds."""
    start = time.process_time()
    result = search()
    return result, time.process_time() - start


def compare(stacked: NDArray[np.float32], oracle: bool) -> dict[str, Any]:
    """Shares of the sum of magnitudes that 2:4 keeps, and seconds."""
    total = float(stacked.sum(dtype=np.float64))
    order, seconds = timed(lambda: search_order(stacked, N, M))
    row: dict[str, Any] = {
        "rows": stacked.shape[0],
        "channels": stacked.shape[1],
        "unpermuted": kept_score(stacked, N, M) / total,
        "ours": kept_score(stacked, N, M, order) / total,
        "bound": bound(stacked) / total,
        "ours_s": round(seconds, 3),
    }
    if oracle:
        published, seconds = timed(lambda: BoundedRegression(stacked).run())
        row["published"] = kept_score(stacked, N, M, published) / total
        row["published_s"] = round(seconds, 3)
    return row


def rows(name: str, quick: bool, known: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """All sets of a model, and then the layers that were not a set of their own."""
    done = {(row["shared"], *row["layers"]): row for row in known if row["model"] == name}
    path = ROOT / "examples" / name / f"{name}.onnx"
    model = open_onnx(path)
    sets, reasons = classes(path, model)
    alone = [[layer] for layers in sets if len(layers) > 1 for layer in layers]
    alone += [[layer] for layer in reasons]
    for layers in [*sets, *alone]:
        if (layers in sets, *layers) in done:
            yield done[layers in sets, *layers]
            continue
        row = {"model": name, "layers": layers, "shared": layers in sets}
        if len(layers) == 1 and layers[0] in reasons:
            row["fixed"] = reasons[layers[0]]
        yield row | compare(matrix(model, layers), not quick)


def onnxsim_row(name: str) -> dict[str, Any]:
    """What onnxsim's 2:4 keeps of the layers that are a multiple of four, and its seconds."""
    import onnxsim

    path = ROOT / "examples" / name / f"{name}.onnx"
    source, proto = open_onnx(path), onnx.load(path)
    pruned, seconds = timed(lambda: onnxsim.prune_magnitude_cpp(proto, n=N, m=M))
    stored = {t.name: t for t in pruned.graph.initializer}
    reads = {node.output[0]: node.input for node in pruned.graph.node}  # under another name
    reads = {i: reads[n.output[0]][k] for n in proto.graph.node for k, i in enumerate(n.input)}
    kept = total = ours = 0.0
    for layer, weight in source.weights.items():
        if weight.layer.shape[1] % M == 0:
            scores = np.abs(np.asarray(source.layer(layer), np.float32))
            left = onnx.numpy_helper.to_array(stored[reads[weight.stored.name]])
            kept += float(np.abs(left).sum(dtype=np.float64))
            total += float(scores.sum(dtype=np.float64))
            ours += kept_score(scores, N, M)
    return {
        "model": name,
        "onnxsim": kept / total,
        "onnxsim_s": round(seconds, 3),
        "unpermuted": ours / total,
        "version": onnxsim.__version__,
    }


def machine() -> dict[str, Any]:
    """Where it was measured."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def main() -> None:
    """Print a table, and write it as JSON after each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--only", choices=MODELS)
    parser.add_argument("--quick", action="store_true", help="without the published search")
    parser.add_argument("--resume", action="store_true", help="keep the rows that are there")
    arguments = parser.parse_args()
    names = [arguments.only] if arguments.only else MODELS
    target = arguments.out / "permutation.json"
    result: dict[str, Any] = {"machine": machine(), "onnxsim": [], "rows": []}
    known = []
    if target.exists():  # what is not measured now stays
        before = json.loads(target.read_text())
        for part in ("onnxsim", "rows"):
            result[part] = [row for row in before[part] if row["model"] not in names]
        known = before["rows"] if arguments.resume else []
    for name in names:
        result["onnxsim"].append(onnxsim_row(name))
        print(result["onnxsim"][-1], flush=True)
    for name in names:
        for row in rows(name, arguments.quick, known):
            result["rows"].append(row)
            target.write_text(json.dumps(result, indent=1) + "\n")
            shown = {k: f"{v:.5f}" if isinstance(v, float) else v for k, v in row.items()}
            print(shown, flush=True)


if __name__ == "__main__":
    main()
