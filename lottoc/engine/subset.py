"""Networks pruned until they compute other ones: `lotto.subset_sum` and what is read off it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lottoc.engine.bench import Bench, Value
from lottoc.ir import lotto
from lottoc.ir.plain import strings
from lottoc.masks.mask import Mask


def solve(op: lotto.SubsetSumOp, value: Value, bench: Bench) -> list[Any]:
    """The masks, two layers at a time."""
    from lottoc.masks.subset_sum import approximate

    weights, toward = value(op.weights), value(op.toward)
    masks: dict[str, Mask] = {}
    for first, second, target in _triples(op):
        found = approximate(
            weights.layer(first),
            weights.layer(second),
            toward.layer(target),
            float(op.epsilon.value.data),
        )
        masks[first], masks[second] = map(Mask.from_bool, (found.first, found.second))
    return [masks]


def measure(op: lotto.ApproximationOp, value: Value, bench: Bench) -> list[Any]:
    """The number, from masks and weights alone."""
    masks: Mapping[str, Mask] = value(op.masks)
    weights, toward = value(op.weights), value(op.toward)
    error, width = 0.0, 0
    for first, second, target in _triples(op):
        into = np.where(masks[first].to_bool(), weights.layer(first), 0).astype(np.float64)
        out = np.where(masks[second].to_bool(), weights.layer(second), 0).astype(np.float64)
        width += int((into.any(1) & out.any(0)).sum())
        for sign in (1, -1):
            made = out @ np.maximum(sign * into, 0)
            error = max(error, float(np.abs(made - sign * toward.layer(target)).max(initial=0)))
    return [error if op.metric.data == "error" else float(width)]


def _triples(op: lotto.SubsetSumOp | lotto.ApproximationOp) -> Iterator[tuple[str, str, str]]:
    layers = strings(op.layers)
    return zip(layers[::2], layers[1::2], strings(op.target), strict=True)
