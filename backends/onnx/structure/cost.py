"""When it pays to group a layer."""

from __future__ import annotations

from collections.abc import Callable

from lottoc.backends.onnx.structure.grouping import Grouping

MOST_EFFORT = 0.6
"""Above this share of what the dense layer takes, nothing may be gained."""

LEAST_WEIGHTS = 64 * 64
"""A smaller layer takes no longer than the two operators that would replace it."""

Worth = Callable[[tuple[int, ...], Grouping], bool]


def worth_grouping(format: str) -> Worth | None:
    """The rule for a format: wherever it pays, wherever there are groups, or nowhere."""
    return {"auto": _pays, "groups": _any}.get(format)


def _any(shape: tuple[int, ...], grouping: Grouping) -> bool:
    return grouping.work < 1


def _pays(shape: tuple[int, ...], grouping: Grouping) -> bool:
    return shape[0] * shape[1] >= LEAST_WEIGHTS and grouping.effort <= MOST_EFFORT
