"""Networks trained sparse from the start, beside dense, static random, gradual pruning and IMP.

    python benchmarks/dst.py [--cifar cifar10-jpeg.npz] [--seeds 0 1 2] [--store FOLDER]
    python benchmarks/dst.py --wall      # milliseconds a step, on an idle machine

For each network and seed one recipe is compiled. Results come from the store where they are there
already, so an interrupted run goes on. Writes `results/dst.json`: accuracies, training FLOPs by
formula, and with `--wall` the time that a step takes. Points of networks, seeds and methods that
are not asked for stay in it.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "dst.json"
SPARSITIES = (90, 95)

NETWORKS = {
    "lenet": {
        "folder": "lenet",
        "source": "lenet.py:lenet_300_100",
        "data": "mnist.npz",
        "layers": 'linear - "fc3"',
        "training": "optimizer = adam(lr = 0.0012)   batch = 60   length = 1000 steps",
        "steps": 1000,
        "every": 25,
        "imp": "rounds = 4, rewind = 50 steps",
        "rounds": 4,
    },
    "mlp": {
        "folder": "mlp",
        "source": "mlp.py:mlp",
        "data": "../lenet/mnist.npz",
        "layers": 'linear - "fc3"',
        "training": "optimizer = adam(lr = 0.0012)   batch = 60   length = 1000 steps",
        "steps": 1000,
        "every": 50,
        "imp": "rounds = 4, rewind = 50 steps",
        "rounds": 4,
    },
    "convnet": {
        "folder": "cifar",
        "source": "convnet.py:convnet",
        "data": "cifar.npz",
        "layers": 'all - first - "fc2"',
        "training": "optimizer = adam(lr = 0.001)   batch = 50   length = 500 steps",
        "steps": 500,
        "every": 20,
        "imp": "rounds = 2, rewind = 50 steps",
        "rounds": 2,
    },
}

DRAWN = "criterion = random(seed = {seed})"
METHODS = {
    "static": f"scope = erk   method = one_shot   {DRAWN}",
    "set": f"scope = erk   method = set(every = {{every}} steps, seed = {{seed}})   {DRAWN}",
    "rigl": f"scope = erk   method = rigl(every = {{every}} steps)   {DRAWN}",
    "gmp": "scope = erk   method = gmp(every = {every} steps)",
    "imp": "scope = global   method = imp({imp})",
    "srigl": f"scope = erk   pattern = fanin   method = srigl(every = {{every}} steps)   {DRAWN}",
    "groups": (
        f"scope = erk   pattern = groups(64)   method = srigl(every = {{every}} steps)   {DRAWN}"
    ),
}


def recipe(name: str, methods: list[str], sparsities: list[int], seed: int) -> str:
    """A ticket for each method and sparsity, and the dense network."""
    net = NETWORKS[name]
    text = f"""
model net {{ source = torch("{net["source"]}")   seed = {seed} }}
data d {{
  train = npz("{net["data"]}", x = "x_train", y = "y_train")
  test  = npz("{net["data"]}", x = "x_test",  y = "y_test")
}}
training t {{ {net["training"]}   seed = {seed} }}
"""
    for method in methods:
        words = METHODS[method].format(seed=seed, **net)
        for sparsity in sparsities:
            ticket = f"layers = {net['layers']}   sparsity = {sparsity}%   {words}"
            text += f"ticket {method}_{sparsity} {{ {ticket} }}\n"
    return text


def compile_one(
    name: str, methods: list[str], sparsities: list[int], seed: int, store: Path
) -> list[dict[str, Any]]:
    """Accuracy, layers and seconds of every ticket; trainings come in the order of the recipe."""
    folder = ROOT / "examples" / str(NETWORKS[name]["folder"])
    file = folder / f".dst-{name}-{seed}-{'-'.join(methods)}.lotto"
    out = store / "out" / file.stem
    file.write_text(recipe(name, methods, sparsities, seed))
    command = [sys.executable, "-m", "lottoc.cli", "compile", str(file), "-o", str(out)]
    command += ["--store", str(store)]
    try:
        run = subprocess.run(command, check=True, capture_output=True, text=True)
    finally:
        file.unlink()
    report = json.loads((out / "report.json").read_text())["tickets"]
    done = re.findall(r"training \d+ of \d+: done in ([0-9.]+) s", run.stderr)
    return [
        {
            "network": name,
            "method": method,
            "asked": sparsity,
            "seed": seed,
            "accuracy": report[f"{method}_{sparsity}"]["metrics"]["accuracy"],
            "dense": report["dense"]["metrics"]["accuracy"],
            "sparsity": report[f"{method}_{sparsity}"]["metrics"]["sparsity"],
            "layers": {
                x["name"]: x["kept"] / x["weights"]
                for x in report[f"{method}_{sparsity}"]["layers"]
            },
            "trainings": [float(seconds) for seconds in done],
        }
        for method in methods
        for sparsity in sparsities
    ]


LAYERS = {
    "lenet": {"fc1": (784 * 300, 1), "fc2": (300 * 100, 1), "fc3": (100 * 10, 1)},
    "mlp": {"fc1": (784 * 1024, 1), "fc2": (1024 * 1024, 1), "fc3": (1024 * 10, 1)},
    "convnet": {
        "conv1": (27 * 32, 256),
        "conv2": (9 * 32 * 64, 64),
        "conv3": (9 * 64 * 128, 16),
        "fc1": (2048 * 256, 1),
        "fc2": (2560, 1),
    },
}
"""Weights of each layer, and at how many places of an image each is used."""


def flops(point: dict[str, Any]) -> float:
    """Multiply-adds of a training, as a share of the dense one's; backward counts twice.

    A sparse step costs 3 f_S, a dense one 3 f_D. RigL pays 2 f_S + f_D more in the step that moves
    masks (Evci et al. 2020, appendix H). What an update itself costs is not counted.
    """
    net, name = NETWORKS[point["network"]], point["method"]
    layers, kept = LAYERS[point["network"]], point["layers"]

    def cost(density: dict[str, float]) -> float:
        return sum(size * places * density.get(n, 1.0) for n, (size, places) in layers.items())

    dense, sparse = cost({}), cost(kept)
    steps, every = int(net["steps"]), int(net["every"])
    if name in ("static", "set"):
        return sparse / dense
    if name == "gmp":
        until, total = round(0.75 * steps), 0.0
        for step in range(steps):
            at = step // every * every
            share = 1 - (1 - min(1.0, at / until)) ** 3
            total += cost({n: 1 - share * (1 - d) for n, d in kept.items()})
        return total / (steps * dense)
    if name == "imp":
        rounds, rewind = int(net["rounds"]), int(re.findall(r"rewind = (\d+)", str(net["imp"]))[0])
        final = 1 - point["sparsity"]
        total = steps * dense
        for number in range(1, rounds + 1):
            density = final ** (number / rounds)
            power = math.log(density) / math.log(final)
            scaled = {n: min(1.0, d**power) for n, d in kept.items()}
            total += (steps - rewind) * cost(scaled)
        return total / (steps * dense)
    moves = (round(0.75 * steps) - 1) // every
    return (3 * sparse * steps + moves * dense) / (3 * steps * dense)


def table(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean over seeds, and each method's margin over the others, seed by seed."""
    found: dict[str, Any] = {}
    for name in NETWORKS:
        for sparsity in SPARSITIES:
            here = [p for p in points if p["network"] == name and p["asked"] == sparsity]
            if not here:
                continue
            row: dict[str, Any] = {"dense": statistics.mean(p["dense"] for p in here)}
            for method in METHODS:
                values = [p["accuracy"] for p in here if p["method"] == method]
                if values:
                    costs = [flops(p) for p in here if p["method"] == method]
                    row[method] = {
                        "mean": statistics.mean(values),
                        "values": values,
                        "training_flops_of_dense": statistics.mean(costs),
                    }
            found[f"{name} {sparsity}%"] = row
    return found


def identity(point: dict[str, Any]) -> tuple[Any, ...]:
    """What a point is of."""
    return tuple(point[key] for key in ("network", "seed", "method", "asked"))


def order(point: dict[str, Any]) -> tuple[int, ...]:
    """As the networks and methods stand here."""
    network, method = list(NETWORKS).index(point["network"]), list(METHODS).index(point["method"])
    return network, point["seed"], method, point["asked"]


def accuracies(points: list[dict[str, Any]], name: str, seed: int) -> dict[str, float]:
    """What one compile found."""
    here = [p for p in points if p["network"] == name and p["seed"] == seed]
    return {f"{p['method']} {p['asked']}%": p["accuracy"] for p in here}


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "?")
    return {"cpu": name, "system": platform.platform(), "python": platform.python_version()}


def wall(store: Path, networks: list[str]) -> dict[str, Any]:
    """Milliseconds a step of each kind of training, alone on the machine, one thread."""
    found: dict[str, Any] = {}
    kinds = ["static", "set", "rigl", "gmp", "srigl", "groups"]
    for name in networks:
        net = NETWORKS[name]
        text = re.sub(r"length = \d+", "length = 200", str(net["training"]))
        NETWORKS[name] = {**net, "steps": 200, "training": text}
        try:
            points = compile_one(name, kinds, list(SPARSITIES), 1000, store)
        finally:
            NETWORKS[name] = net
        dense, *others = (5 * seconds for seconds in points[0]["trainings"])
        found[name] = {"dense": dense, **dict(zip(kinds, others[::2], strict=True))}
    return found


def main() -> None:
    """Compile what is asked for, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cifar", type=Path, help="cifar10-jpeg.npz; without it, MNIST alone")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--sparsities", nargs="+", type=int, default=list(SPARSITIES))
    parser.add_argument("--store", type=Path, default=Path("dst-store"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--wall", action="store_true", help="only time steps")
    arguments = parser.parse_args()
    result = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    if arguments.cifar:
        prepare = ROOT / "examples" / "cifar" / "prepare.py"
        subprocess.run([sys.executable, str(prepare), str(arguments.cifar)], check=True)
    if arguments.wall:
        before = result.get("milliseconds_a_step", {})
        result["milliseconds_a_step"] = before | wall(arguments.store, arguments.networks)
    else:
        points = []
        for name in arguments.networks:
            for seed in arguments.seeds:
                points += compile_one(
                    name, arguments.methods, arguments.sparsities, seed, arguments.store
                )
                print(name, seed, accuracies(points, name, seed), flush=True)
        for point in points:
            del point["trainings"]
        made = {identity(point) for point in points}
        points += [p for p in result.get("points", []) if identity(p) not in made]
        points.sort(key=order)
        result |= {"machine": machine(), "table": table(points), "points": points}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
