"""What layers take on a target, read off tables that were measured there.

The logarithm of the time is interpolated linearly over the logarithms of the sizes. A target file
is data: `specs/targets/onnxruntime-cpu.toml` is shipped, `lottoc calibrate` makes one for another
machine.
"""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.diagnostics import input_error

SHIPPED = Path(__file__).parents[2] / "specs" / "targets"
"""Where the targets are that a recipe can name without a path."""

KIND = "onnxruntime-cpu"


@dataclass(frozen=True)
class Table:
    """Microseconds over a grid of sizes; `axes` are names with their sizes, ascending."""

    axes: Mapping[str, tuple[int, ...]]
    microseconds: NDArray[np.float64]

    def at(self, *sizes: int) -> float:
        """Microseconds for sizes between, or beyond, those measured.

        Beyond the largest size time grows as the size does; below the smallest it stays.
        """
        factor, corners = 1.0, []
        for axis, size in zip(self.axes.values(), sizes, strict=True):
            factor *= max(1.0, size / axis[-1])
            inside = min(max(size, axis[0]), axis[-1])
            above = min(max(1, sum(known < inside for known in axis)), len(axis) - 1)
            low, high = axis[above - 1], axis[above]
            share = math.log(inside / low) / math.log(high / low)
            corners.append(((above - 1, 1 - share), (above, share)))
        result = 0.0
        for corner in itertools.product(*corners):
            weight = math.prod(share for _, share in corner)
            if weight:
                result += weight * math.log(self.microseconds[tuple(at for at, _ in corner)])
        return factor * math.exp(result)


@dataclass(frozen=True)
class Costs:
    """What was measured with one number of threads.

    `matmul` and `conv` are a linear layer and a 1x1 convolution, over inputs, outputs and places;
    `groups` a gather and a grouped convolution, over columns, rows, groups and places; `turn` the
    transpose before or after a linear layer in groups, over channels and places; `row` such a layer
    in models that take one row at a time, which needs none, over columns, rows and groups. Files
    made before `row` was measured do not have it.
    """

    threads: int
    matmul: Table
    conv: Table
    groups: Table
    turn: Table
    row: Table | None = None


@dataclass(frozen=True)
class Target:
    """Where models will run; several costs of one number of threads are of several machines."""

    machine: str
    runtime: str
    costs: tuple[Costs, ...]


AXES: dict[str, tuple[str, ...]] = {
    "matmul": ("inputs", "outputs", "places"),
    "conv": ("inputs", "outputs", "places"),
    "groups": ("columns", "rows", "groups", "places"),
    "turn": ("channels", "places"),
    "row": ("columns", "rows", "groups"),
}
OPTIONAL = ("row",)
TABLES = tuple(field.name for field in fields(Costs) if field.name != "threads")


def find_target(name: str, folder: Path) -> Path:
    """The file of a target: a shipped one by its name, another by its path in `folder`."""
    return folder / name if name.endswith(".toml") else SHIPPED / f"{name}.toml"


@cache
def read_target(path: Path) -> Target:
    """A target from its file; raises `InputError` (target-not-found, target-invalid)."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise input_error(
            "target-not-found",
            f"cannot read the target: {reason}",
            file=str(path),
            help=["make one for this machine with  lottoc calibrate -o my-machine.toml"],
        ) from error
    except ValueError as error:
        raise _invalid(path, str(error)) from error
    try:
        if content["target"] != KIND:
            raise ValueError(f'it is for "{content["target"]}", not for "{KIND}"')
        costs = tuple(_costs(each) for each in content["costs"])
        if not costs:
            raise ValueError("it holds no costs")
        return Target(str(content["machine"]), str(content["runtime"]), costs)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise _invalid(path, what) from error


def _invalid(path: Path, reason: str) -> Exception:
    return input_error(
        "target-invalid",
        f"not a target file: {reason}",
        file=str(path),
        help=["make it again with  lottoc calibrate"],
    )


def _costs(plain: dict[str, Any]) -> Costs:
    known = [name for name in TABLES if name in plain or name not in OPTIONAL]
    return Costs(int(plain["threads"]), **{name: _table(name, plain[name]) for name in known})


def _table(name: str, plain: dict[str, Any]) -> Table:
    axes = {axis: tuple(int(size) for size in plain[axis]) for axis in AXES[name]}
    values = np.array(plain["microseconds"], np.float64)
    if any(len(a) < 2 or a[0] < 1 or list(a) != sorted(set(a)) for a in axes.values()):
        raise ValueError(f"{name}: an axis needs two sizes or more, ascending")
    if values.shape != tuple(map(len, axes.values())):
        raise ValueError(f"{name}: there must be one time for each combination of sizes")
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError(f"{name}: a time is not positive")
    return Table(axes, values)


def write_target(target: Target) -> str:
    """The text of a target file."""
    lines = [
        "# What layers take in onnxruntime, in microseconds; made by `lottoc calibrate`.",
        "# `format = auto` chooses by it how each layer is run.",
        f'target  = "{KIND}"',
        f"machine = {_text(target.machine)}",
        f"runtime = {_text(target.runtime)}",
    ]
    for costs in target.costs:
        lines += ["", "[[costs]]", f"threads = {costs.threads}"]
        for name in TABLES:
            table: Table | None = getattr(costs, name)
            if table is None:
                continue
            lines += ["", f"[costs.{name}]"]
            lines += [f"{axis} = {list(sizes)}" for axis, sizes in table.axes.items()]
            lines += ["microseconds = [", *_rows(table.microseconds, "  "), "]"]
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    return '"' + "".join(c for c in text if c.isprintable() and c not in '"\\') + '"'


def _rows(values: NDArray[np.float64], indent: str) -> list[str]:
    """All tables have two axes or more; one line a row."""
    if values.ndim == 2:
        return [f"{indent}[{', '.join(_decimal(value) for value in row)}]," for row in values]
    inner = [_rows(part, indent + "  ") for part in values]
    return [line for rows in inner for line in (f"{indent}[", *rows, f"{indent}],")]


def _decimal(value: float) -> str:
    """Four digits, without an exponent."""
    digits = max(1, 3 - math.floor(math.log10(value)))
    return f"{value:.{digits}f}"
