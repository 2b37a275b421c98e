"""What the benchmarks share that compile a recipe again and again: builds, means, spreads."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def compiled(recipe: Path, scratch: Path, defines: Mapping[str, object]) -> dict[str, Any]:
    """The report of one build; a contract that does not hold is a result too."""
    lines = recipe.read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith(("require", "emit")))
    name = re.sub(r"[^\w-]", "", "-".join(map(str, defines.values())))
    file = recipe.with_name(f".{recipe.stem}-{name}.lotto")
    file.write_text(text + "\n")
    out = scratch / name
    command = [sys.executable, "-m", "lottoc.cli", "compile", str(file), "-q", "-o", str(out)]
    command += ["--store", str(scratch / "store")]
    for key, value in defines.items():
        command += ["-D", f"{key}={value}"]
    try:
        subprocess.run(command, check=True)
    finally:
        file.unlink()
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report


def spread(values: list[float]) -> dict[str, float]:
    """Mean and standard error, in points."""
    points = [100 * value for value in values]
    error = statistics.stdev(points) / len(points) ** 0.5 if len(points) > 1 else 0.0
    return {"mean": round(statistics.mean(points), 2), "error": round(error, 2)}
