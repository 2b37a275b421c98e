"""When it pays to group a layer: what it takes on the target, dense and in groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lottoc.backends.onnx.structure.grouping import Grouping
from lottoc.backends.onnx.target import KIND, SHIPPED, Costs, Target, read_target

LENGTH = 128
"""What an open dimension that is not the batch is taken for, such as that of a sequence."""

CAP, MARGIN = 0.85, 0.8
"""A layer is grouped if it is to take at most these shares of its time dense: each, on average.

No table is exact, so an even chance is none: by the kept times of `benchmarks/groups_layers.py`
no layer that passes was slower than dense.
"""

KERNEL_MARGIN = 0.6
"""The same for convolutions of more than one place, which are read off the tables for 1x1."""


@dataclass(frozen=True)
class Site:
    """A layer in its graph.

    `places` are the dimensions of its output other than channels, the batch first; None is open.
    `turns` says what share of a transpose it needs on its way in and out: 0 where its neighbours
    are channel-major as well, less than 1 where several layers share one. `one_row` is true of a
    linear layer whose input is a single row whatever the model is given; it needs none.
    """

    shape: tuple[int, ...]
    is_conv: bool
    places: tuple[int | None, ...]
    turns: tuple[float, float] = (1.0, 1.0)
    one_row: bool = False

    def rows(self, batch: int) -> int:
        """Rows of activations that it works on."""
        first = batch if not self.places or self.places[0] is None else self.places[0]
        return first * math.prod(LENGTH if size is None else size for size in self.places[1:])


@dataclass(frozen=True)
class Prediction:
    """Microseconds of a layer, dense and in groups, for one batch size and number of threads."""

    batch: int
    threads: int
    dense: float
    groups: float


Worth = Callable[[Site, Grouping], bool]
"""Whether a layer is better off grouped."""


@dataclass(frozen=True)
class Rule:
    """Chooses layers by a target's costs, or all that have groups if `always`."""

    target: Target
    batches: tuple[int, ...] = (1,)
    always: bool = False

    def __call__(self, site: Site, grouping: Grouping) -> bool:
        """Whether to group a layer.

        It must be faster for every batch size and number of threads, and pay over all of them.
        """
        if self.always:
            return grouping.work < 1
        margin = KERNEL_MARGIN if math.prod(site.shape[2:]) > 1 else MARGIN
        shares = [p.groups / p.dense for p in self.predict(site, grouping)]
        mean = math.exp(math.fsum(map(math.log, shares)) / len(shares))
        return max(shares) <= CAP and mean <= margin

    def predict(
        self, site: Site, grouping: Grouping, whole: tuple[int, ...] | None = None
    ) -> tuple[Prediction, ...]:
        """What a layer takes; `whole` is its shape before dead units left, dense as it was.

        One for each batch size and number of threads: where a target has costs of several
        machines, those of the machine on which groups gain least.
        """
        found: dict[tuple[int, int], Prediction] = {}
        for batch in self.batches:
            for costs in self._known(site):
                given = _predict(costs, site, grouping, batch, whole or site.shape)
                known = found.setdefault((batch, costs.threads), given)
                if given.groups * known.dense > known.groups * given.dense:
                    found[batch, costs.threads] = given
        return tuple(found.values())

    def _known(self, site: Site) -> Sequence[Costs]:
        """The costs that tell of such a layer; all of them, if none does."""
        told = [costs for costs in self.target.costs if costs.row is not None]
        return told if site.one_row and told else self.target.costs


def _predict(
    costs: Costs, site: Site, grouping: Grouping, batch: int, whole: tuple[int, ...]
) -> Prediction:
    """Threads take whole groups: three groups take two threads as long as four do."""
    kernel, rows = math.prod(site.shape[2:]), site.rows(batch)
    table = costs.conv if site.is_conv else costs.matmul
    dense = table.at(whole[1] * kernel, whole[0], rows)
    inputs = site.shape[1]
    groups, per_group = grouping.rows.shape
    shares = groups if groups == 1 else -(-groups // costs.threads) * costs.threads
    columns = grouping.columns.shape[1] * kernel
    if site.one_row and costs.row is not None:
        taken = costs.row.at(columns, per_group, shares)
        return Prediction(batch, costs.threads, round(dense, 2), round(taken, 2))
    taken = costs.groups.at(columns, per_group, shares, rows)
    if not site.is_conv:
        taken += site.turns[0] * costs.turn.at(inputs, rows)
        taken += site.turns[1] * costs.turn.at(grouping.rows.size, rows)
    return Prediction(batch, costs.threads, round(dense, 2), round(taken, 2))


@dataclass(frozen=True)
class Workload:
    """What a model is compiled for: the file of a target, and batch sizes."""

    target: Path = field(default=SHIPPED / f"{KIND}.toml")
    batches: Sequence[int] = (1,)

    def rule(self, format: str) -> Rule | None:
        """By which layers are grouped under a format: where it pays, wherever it can be, nowhere.

        Raises `InputError` (target-not-found, target-invalid).
        """
        if format not in ("auto", "groups"):
            return None
        return Rule(read_target(self.target), tuple(self.batches), format == "groups")


WORKLOAD = Workload()
"""What a model is compiled for unless it is said."""
