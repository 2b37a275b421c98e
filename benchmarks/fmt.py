"""How fast `lottoc fmt` is, on a megabyte of recipe: as written by hand, formatted, and in a mess.

    python benchmarks/fmt.py [--repeats 5]

Writes `results/fmt.json`: characters a second, best of the repeats, of `format_recipe`, which
validates the recipe and verifies what it wrote; beside it the parser, and the whole command.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lenet_curve import machine

from lottoc.diagnostics import Source
from lottoc.grammar.format import format_recipe
from lottoc.grammar.parser import parse

ROOT = Path(__file__).resolve().parents[1]
SIZE = 1_000_000

TICKETS = """\
ticket t{i} {{
  layers    = {kind} - "fc{i}"            # all but one
  criterion = magnitude
  scope = {scope}
  sparsity  = {share}%
  method    = imp(rounds = {rounds}, rewind = {k} steps)
}}

# The controls of t{i}.
ticket reinit{i}   {{ like = t{i}   weights = reinit(seed = {k}) }}
ticket shuffled{i} {{ like = t{i} mask = shuffle(t{i}) & ~other.mask }} # within each layer
require t{i}.accuracy >= dense.accuracy - {rounds}%
require t{i}.accuracy > reinit{i}.accuracy

emit onnx "out/t{i}.onnx" {{ ticket = t{i}   format = packed   values = float16 }}

"""


def recipe() -> str:
    """About a megabyte of tickets with their controls; no two values need be equal."""
    draw = random.Random(0)
    parts, size = list[str](), 0
    while size < SIZE:
        part = TICKETS.format(
            i=len(parts),
            kind=draw.choice(["all", "linear", "conv"]),
            scope=draw.choice(["global", "layerwise", "erk"]),
            share=draw.randint(1, 9999) / 100,
            rounds=draw.randint(1, 30),
            k=draw.randint(0, 1000),
        )
        parts.append(part)
        size += len(part)
    return "".join(parts)


def messy(text: str) -> str:
    """The recipe with line breaks and comments between a tenth of its words."""
    draw = random.Random(0)
    gap = re.compile(r'#[^\n]*\n|"[^"\n]*"|( +)')

    def other(match: re.Match[str]) -> str:
        if not match[1] or draw.random() > 0.1:
            return match[0]
        return draw.choice(["  ", "\n", "\n\n", " # c\n"])

    return gap.sub(other, text)[: 2**20].rpartition("\nemit")[0] + "\n"


def speed(work: Callable[[str], object], text: str, repeats: int) -> float:
    """Megabytes a second, the best of some runs."""
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        work(text)
        best = min(best, time.perf_counter() - began)
    return round(len(text) / best / 1e6, 3)


def command_seconds(text: str) -> float:
    """How long the command takes to format a file, its start included."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.lotto")
        path.write_text(text, encoding="utf-8")
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "lottoc.cli", "fmt", "-q", path], check=True)
        return round(time.perf_counter() - began, 3)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeats", type=int, default=5)
    repeats = arguments.parse_args().repeats

    def reformat(text: str) -> str:
        return format_recipe(Source("large.lotto", text))

    written = recipe()
    formatted = reformat(written)
    result = {
        "machine": machine(),
        "megabytes": round(len(written) / 1e6, 3),
        "megabytes a second": {
            "as written": speed(reformat, written, repeats),
            "formatted already": speed(reformat, formatted, repeats),
            "in a mess": speed(reformat, messy(formatted), repeats),
            "parser, for comparison": speed(lambda t: parse(Source("", t)), written, 1),
        },
        "seconds of the command": min(command_seconds(written) for _ in range(repeats)),
    }
    path = ROOT / "benchmarks" / "results" / "fmt.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
