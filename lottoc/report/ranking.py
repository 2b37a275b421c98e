"""Models in an order by proxies: the mean of their ranks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xdsl.dialects.builtin import ModuleOp

from lottoc.engine.evaluate import Engine
from lottoc.ir import lotto
from lottoc.ir.plain import strings


@dataclass(frozen=True)
class Ranking:
    """A `rank` block: what each proxy says of each model."""

    block: str
    values: Mapping[str, Mapping[str, float]]
    """Proxies by model."""

    @property
    def ranks(self) -> Mapping[str, Mapping[str, int]]:
        """1 for the highest value of a proxy; equal values share a rank."""
        proxies = next(iter(self.values.values()))
        return {
            model: {
                proxy: 1 + sum(other[proxy] > own[proxy] for other in self.values.values())
                for proxy in proxies
            }
            for model, own in self.values.items()
        }

    @property
    def means(self) -> Mapping[str, float]:
        """Each model's mean rank over the proxies."""
        return {model: sum(r.values()) / len(r) for model, r in self.ranks.items()}

    @property
    def order(self) -> list[str]:
        """The models, best mean rank first; of equal ones the earlier first."""
        means = self.means
        return sorted(means, key=lambda model: means[model])


def rankings(module: ModuleOp, engine: Engine) -> list[Ranking]:
    """Every `rank` block of the recipe, in its order."""
    found = []
    for op in module.ops:
        if isinstance(op, lotto.RankOp):
            numbers = iter([engine.value(value) for value in op.values])
            proxies = strings(op.proxies)
            values = {model: {p: next(numbers) for p in proxies} for model in strings(op.models)}
            found.append(Ranking(op.block.data, values))
    return found


def as_data(found: Sequence[Ranking]) -> dict[str, Any]:
    """For the report; nothing if there is no such block. What is not finite becomes null."""
    blocks = {
        ranking.block: {
            "order": ranking.order,
            "models": {
                model: {
                    "mean_rank": ranking.means[model],
                    "proxies": {p: v if math.isfinite(v) else None for p, v in values.items()},
                    "ranks": dict(ranking.ranks[model]),
                }
                for model, values in ranking.values.items()
            },
        }
        for ranking in found
    }
    return {"ranks": blocks} if blocks else {}
