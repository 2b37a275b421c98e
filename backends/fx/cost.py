"""What linear layers take in torch on a CPU, dense and as compressed rows, from measured tables."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lottoc.backends.fx.target import SHIPPED
from lottoc.backends.onnx.target import Table

MEASURED = SHIPPED / "torch-cpu.toml"
"""What `benchmarks/torch_csr.py --target` writes."""

LEAST_GAIN = 1.1
"""How much faster compressed rows must be in the mean before they are chosen."""


@dataclass(frozen=True)
class Prediction:
    """Microseconds that a layer takes, in all its calls, for a batch size and number of threads."""

    batch: int
    threads: int
    dense: float
    csr: float


@dataclass(frozen=True)
class Costs:
    """Tables of one number of threads: `dense` over inputs, outputs and rows of the input,
    `csr` over inputs, outputs, kept weights in a thousand, and rows.
    """

    threads: int
    dense: Table
    csr: Table


@cache
def read_costs(path: Path) -> tuple[Costs, ...]:
    """The tables of a target; none for one of which nothing was measured."""
    if not path.exists():
        return ()
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return tuple(
        Costs(int(each["threads"]), _table(each["dense"]), _table(each["csr"]))
        for each in content["costs"]
    )


def _table(plain: dict[str, Any]) -> Table:
    axes = {name: tuple(sizes) for name, sizes in plain.items() if name != "microseconds"}
    return Table(axes, np.array(plain["microseconds"], np.float64))


def predict(
    costs: Sequence[Costs],
    shape: tuple[int, ...],
    kept: int,
    calls: Sequence[int],
    batches: Sequence[int],
) -> tuple[Prediction, ...]:
    """Times of a layer [out, in] that keeps `kept` weights.

    `calls` has the rows that an example brings to each of its calls.
    """
    outputs, inputs = shape
    share = max(1, round(1000 * kept / (inputs * outputs)))
    return tuple(
        Prediction(
            batch,
            each.threads,
            sum(each.dense.at(inputs, outputs, batch * rows) for rows in calls),
            sum(each.csr.at(inputs, outputs, share, batch * rows) for rows in calls),
        )
        for batch in batches
        for each in costs
    )


def pays(predictions: Sequence[Prediction]) -> bool:
    """Whether compressed rows are nowhere slower than dense, and faster in the mean."""
    gains = [each.dense / each.csr for each in predictions]
    if not gains or min(gains) < 1:
        return False
    return math.exp(sum(map(math.log, gains)) / len(gains)) >= LEAST_GAIN
