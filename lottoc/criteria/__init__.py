"""Saliency scores: one file a criterion, one line here, imported when first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lottoc.signature import Layer

CRITERIA = {
    "magnitude": "lottoc.criteria.magnitude:Magnitude",
    "random": "lottoc.criteria.random:Random",
}

PLANNED = frozenset(
    {
        "fisher",
        "grad_norm",
        "grasp",
        "obd",
        "snip",
        "sparsegpt",
        "synflow",
        "task_vector",
        "wanda",
    }
)
"""Criteria that the language knows by name and refuses until they are built."""


class Criterion(Protocol):
    """A score for every weight of a layer; the fields of its dataclass are its options."""

    def score(self, weight: NDArray[Any], layer: Layer) -> NDArray[Any]:
        """Scores of the weight's shape, float32 or float64; the highest are kept."""


def criterion_class(name: str) -> type[Criterion]:
    """The class of a criterion; `KeyError` if there is none of that name."""
    module, _, attribute = CRITERIA[name].partition(":")
    found: type[Criterion] = getattr(import_module(module), attribute)
    return found
