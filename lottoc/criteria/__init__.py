"""Saliency scores: one file a criterion, one line here, imported when first asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from lottoc.statistics import Need, statistic_class

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lottoc.layerwise.reconstruct import Solver
    from lottoc.signature import Layer

CRITERIA = {
    "grasp": "lottoc.criteria.grasp:Grasp",
    "magnitude": "lottoc.criteria.magnitude:Magnitude",
    "obd": "lottoc.criteria.obd:Obd",
    "obs": "lottoc.criteria.obs:Obs",
    "random": "lottoc.criteria.random:Random",
    "ria": "lottoc.criteria.ria:Ria",
    "snip": "lottoc.criteria.snip:Snip",
    "synflow": "lottoc.criteria.synflow:Synflow",
    "task_vector": "lottoc.criteria.task_vector:TaskVector",
    "wanda": "lottoc.criteria.wanda:Wanda",
}

SOLVERS = {
    "sparsegpt": "lottoc.criteria.sparsegpt:SparseGpt",
}
"""Criteria that choose masks and change weights together, layer after layer."""


class Criterion(Protocol):
    """A score for every weight of a layer; the fields of its dataclass are its options.

    A field called `rounds` says in how many rounds a ticket is pruned, with new scores in each.
    """

    statistic: ClassVar[str | None]
    """What it looks at beside the weight, by its name in `lottoc.statistics`; None if nothing.
    Options of the statistic are fields of the same names here."""

    def score(
        self, weight: NDArray[Any], layer: Layer, statistic: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Scores of the weight's shape, float32 or float64; the highest are kept."""


def solver_class(name: str) -> type[Solver]:
    """The class of a criterion that changes weights; `KeyError` if there is none of that name."""
    module, _, attribute = SOLVERS[name].partition(":")
    found: type[Solver] = getattr(import_module(module), attribute)
    return found


def options_class(name: str) -> type[Any]:
    """The dataclass whose fields are a criterion's options."""
    return solver_class(name) if name in SOLVERS else criterion_class(name)


def criterion_class(name: str) -> type[Criterion]:
    """The class of a criterion; `KeyError` if there is none of that name."""
    module, _, attribute = CRITERIA[name].partition(":")
    found: type[Criterion] = getattr(import_module(module), attribute)
    return found


def needs(name: str) -> frozenset[Need]:
    """What a criterion cannot do without; nothing, if it looks at weights alone."""
    if name in SOLVERS:
        return frozenset({"activations", "inputs"})
    statistic = criterion_class(name).statistic
    return frozenset() if statistic is None else statistic_class(statistic).needs


def statistic_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a criterion's statistic, of those that the criterion is given.

    Defaults are the criterion's, written out: equal statistics are then the same statistic.
    """
    shape = criterion_class(name)
    assert shape.statistic is not None
    taken = dataclasses.fields(cast(Any, statistic_class(shape.statistic)))
    defaults = {f.name: f.default for f in dataclasses.fields(cast(Any, shape))}
    return {f.name: options.get(f.name, defaults[f.name]) for f in taken if f.name in defaults}


def rounds(name: str, options: Mapping[str, Any]) -> int:
    """In how many rounds a criterion prunes, scoring anew in each; 1 for most."""
    return int(options.get("rounds", getattr(options_class(name), "rounds", 1)))
