"""The best of several layers at once, as a scope spreads them: what trainings do as they go."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from lottoc.masks.allocate import SCOPES, pruned_count
from lottoc.masks.patterns import Pattern
from lottoc.masks.select import Bools, Scores


def keep_share(
    pattern: Pattern,
    scope: str,
    density: Fraction,
    scores: Sequence[Scores],
    within: Sequence[Bools] | None = None,
) -> list[Bools]:
    """The masks that keep an exact share of all weights, each layer's highest scores or, under
    `global`, those of all together.

    Raises `NonFiniteScores`, and `ValueError` if too few are `within` earlier masks.
    """
    if scope not in SCOPES and pattern.ranks_together:
        size = sum(layer.size for layer in scores)
        kept = size - pruned_count(size, 1 - density)
        return list(pattern.keep_together(scores, kept, within))
    counts = pattern.counts(scope, [layer.shape for layer in scores], density)
    before = [None] * len(counts) if within is None else within
    return [pattern.keep(s, k, w) for s, k, w in zip(scores, counts, before, strict=True)]
