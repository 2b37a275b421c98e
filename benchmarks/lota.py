"""MiniLM learns two tasks, one after the other: by LoTA, by full fine-tuning, and by LoRA.

    python examples/lota/prepare.py wikitext-2
    python benchmarks/lota.py [--seeds 0 1 2] [--steps 100]
    python benchmarks/lota.py --ranks 1 2 4 8 16    # LoRA's quality by size, on the first task

Each way trains the same batches for as many steps with AdamW, at a learning rate of its own, fixed
beforehand. LoRA stands on every linear layer and has the rank that takes as many bytes as the
adapter does, or those ranks that are asked for. Writes `results/lota.json` after every seed:
accuracy on both tasks after each.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "lota"
RESULTS = ROOT / "benchmarks" / "results" / "lota.json"
TASKS = ("order", "topic")
RATES = {"lota": 3e-4, "full": 1e-4, "lora": 1e-3}
WARMUP, BATCH, CALIBRATE = 20, 16, 40


def arrays(task: str, split: str) -> Any:
    from lottoc.frontends.data import Arrays

    with np.load(EXAMPLE / f"{task}.npz") as file:
        return Arrays(file[f"x_{split}"], file[f"y_{split}"])


def accuracy(module: Any, state: Any) -> dict[str, float]:
    """On both test sets."""
    from lottoc.training.loop import evaluate

    return {t: evaluate(module, state, arrays(t, "test"))["accuracy"] for t in TASKS}


def tuned(module: Any, state: Any, task: str, way: str, steps: int, seed: int) -> Any:
    """Trained on a task with all parameters that want a gradient."""
    from lottoc.training.loop import train
    from lottoc.training.spec import TrainingSpec

    spec = TrainingSpec(
        optimizer="adamw", lr=RATES[way], weight_decay=0.0, batch=BATCH, steps=steps,
        warmup=WARMUP, seed=seed,
    )  # fmt: skip
    return train(module, state, arrays(task, "train"), spec, start=0, stop=steps)


def lota(seed: int, steps: int) -> tuple[dict[str, Any], int]:
    """By a recipe; the adapters are applied one by one to the network that they were made from."""
    from typer.testing import CliRunner

    import lottoc
    from lottoc.cli import app
    from lottoc.frontends.torch_model import open_torch
    from lottoc.training.module import state_of

    module = open_torch(EXAMPLE / "tasks.py", "judge").build(seed)
    with tempfile.TemporaryDirectory() as folder:
        text = (
            (EXAMPLE / "tasks.lotto")
            .read_text()
            .replace("calibrate = 50", f"calibrate = {CALIBRATE}")
        )
        recipe = EXAMPLE / f".lota-{seed}.lotto"
        recipe.write_text("".join(x for x in text.splitlines(True) if "require" not in x))
        try:
            done = CliRunner().invoke(app, [
                "compile", str(recipe), "-o", f"{folder}/out", "--store", f"{folder}/store",
                "-D", f"seed={seed}", "-D", f"length={steps} steps",
            ])  # fmt: skip
        finally:
            recipe.unlink()
        assert done.exit_code == 0, done.output
        files = [Path(folder, "out", f"{task}.safetensors") for task in TASKS]
        size = files[0].stat().st_size
        before = state_of(module, None, 0)
        found: dict[str, Any] = {}
        for task, file in zip(TASKS, files, strict=True):
            lottoc.apply(module, file)
            found[f"after {task}"] = accuracy(module, state_of(module, None, 0))
        lottoc.unapply(module, files[1])
        found["second taken back"] = accuracy(module, state_of(module, None, 0))
        lottoc.unapply(module, files[0])
        after = state_of(module, None, 0)
        same = all(after.arrays[n].tobytes() == a.tobytes() for n, a in before.arrays.items())
    return found | {"bytes": size, "base restored bit by bit": same}, size


def full(seed: int, steps: int) -> dict[str, Any]:
    """All parameters, twice."""
    from lottoc.frontends.torch_model import open_torch

    model = open_torch(EXAMPLE / "tasks.py", "judge")
    module, state, found = model.build(seed), model.initial_state(seed), {}
    found = {"before": accuracy(module, state)}
    for task in TASKS:
        state = tuned(module, state, task, "full", steps, seed).without_optimizer()
        found[f"after {task}"] = accuracy(module, state)
    return found | {"bytes": state.model_bytes}


def lora(
    seed: int, steps: int, room: int, rank: int = 0, tasks: tuple[str, ...] = TASKS
) -> dict[str, Any]:
    """W + B A on every linear layer, merged before the next task begins (Hu et al. 2021).

    `room` is for how many bytes there is room; `rank` is taken instead where it is not 0.
    """
    import torch
    from torch import nn
    from torch.nn.utils import parametrize

    from lottoc.frontends.torch_model import open_torch
    from lottoc.training.module import state_of

    class LowRank(nn.Module):
        def __init__(self, shape: torch.Size, rank: int) -> None:
            super().__init__()
            self.a, self.b = (
                nn.Parameter(torch.empty(rank, shape[1])),
                nn.Parameter(torch.zeros(shape[0], rank)),
            )
            nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))

        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight + self.b @ self.a

    module = open_torch(EXAMPLE / "tasks.py", "judge").build(seed)
    linear = [m for m in module.modules() if isinstance(m, nn.Linear)]
    rank = rank or room // (4 * sum(sum(m.weight.shape) for m in linear))
    found: dict[str, Any] = {
        "rank": rank,
        "bytes": 4 * rank * sum(sum(m.weight.shape) for m in linear),
    }
    for task in tasks:
        module.requires_grad_(False)
        torch.manual_seed(seed)
        for layer in linear:
            parametrize.register_parametrization(layer, "weight", LowRank(layer.weight.shape, rank))
        state = tuned(module, state_of(module, None, 0), task, "lora", steps, seed)
        found[f"after {task}"] = accuracy(module, state.without_optimizer())
        for layer in linear:
            parametrize.remove_parametrizations(layer, "weight")
    return found


def summary(points: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds, in percent."""
    table: dict[str, Any] = {}
    for way in RATES:
        rows = [point[way] for point in points]

        def mean(when: str, task: str, rows: list[Any] = rows) -> float:
            return round(100 * statistics.mean(row[when][task] for row in rows), 2)

        first = mean("after order", "order")
        table[way] = {
            "first task": first,
            "second task": mean("after topic", "topic"),
            "first task after the second": mean("after topic", "order"),
            "lost of the first": round(first - mean("after topic", "order"), 2),
            "bytes a task": rows[0]["bytes"],
        }
    return table


def by_rank(arguments: argparse.Namespace) -> dict[str, Any]:
    """What LoRA of some ranks reaches on the first task, and the bytes that it takes."""
    found: dict[str, Any] = {}
    for rank in arguments.ranks:
        points = [lora(seed, arguments.steps, 0, rank, TASKS[:1]) for seed in arguments.seeds]
        values = [point[f"after {TASKS[0]}"][TASKS[0]] for point in points]
        found[str(rank)] = {
            "first task": round(100 * statistics.mean(values), 2),
            "values": values,
            "bytes a task": points[0]["bytes"],
        }
        print(rank, found[str(rank)], flush=True)
    return found


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "?")
    return {"cpu": name, "system": platform.platform(), "python": platform.python_version()}


def main() -> None:
    """Seed by seed; a seed that is in the results already is not trained again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--ranks", type=int, nargs="+", default=[])
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    kept = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    if arguments.ranks:
        kept["lora by rank"] = by_rank(arguments)
        arguments.out.write_text(json.dumps(kept, indent=1) + "\n")
        return
    settings = {
        "steps": arguments.steps, "calibrate": CALIBRATE, "batch": BATCH, "warmup": WARMUP,
        "learning_rates": RATES, "sparsity": 0.9, "optimizer": "adamw",
    }  # fmt: skip
    points = kept.get("points", []) if kept.get("settings") == settings else []
    for seed in arguments.seeds:
        if any(point["seed"] == seed for point in points):
            continue
        began = time.process_time()
        sparse, size = lota(seed, arguments.steps)
        print(seed, "lota", sparse, round(time.process_time() - began), "s", flush=True)
        dense = full(seed, arguments.steps)
        print(seed, "full", dense, round(time.process_time() - began), "s", flush=True)
        low = lora(seed, arguments.steps, size)
        print(seed, "lora", low, round(time.process_time() - began), "s", flush=True)
        points.append({"seed": seed, "lota": sparse, "full": dense, "lora": low})
        result = {
            "machine": machine(),
            "settings": settings,
            "table": summary(points),
            "points": points,
            **({"lora by rank": kept["lora by rank"]} if "lora by rank" in kept else {}),
        }
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
