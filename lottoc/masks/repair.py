"""Puts weights back where masks have cut a network, as few as it takes, the best of them.

For a layer that carries no signal, every path through it from an input to an output has a price:
the number of pruned weights on it, then the sum of their scores. The cheapest path is found layer
by layer, as shortest paths in a graph without cycles are, and its weights are put back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lottoc.masks.cheapest_path import Prices, cheapest_path
from lottoc.masks.mask import Mask
from lottoc.masks.signal import Loss, Wiring, find_loss

Scores = Callable[[str], NDArray[np.generic]]
"""For a layer, a finite score for each weight."""

TRIES = 1000
"""So many weights are tried that might leave, beyond those that have to."""


@dataclass(frozen=True)
class Repaired:
    """Masks that carry signal wherever they can, and how many weights came back and left."""

    masks: Mapping[str, Mask]
    added: Mapping[str, int]
    dropped: Mapping[str, int]


def repair(
    wiring: Wiring, masks: Mapping[str, Mask], scores: Scores, within: Mapping[str, Mask]
) -> Repaired:
    """Let every layer carry signal again, in the order in which signal meets them.

    Each gets the path through it that puts the fewest weights back; among several the one whose
    weights have the greatest sum of scores, then the one with the lowest positions. Only weights
    kept by `within`, where it has a mask, are put back. As many weights leave the layer that
    keeps the most, the worst first, but none without which a layer would lose its signal: so the
    number of weights stays, unless there are not enough of those.
    """
    masks, added = dict(masks), dict[str, set[int]]()
    names, hopeless = tuple(masks), set[str]()
    while lost := [item for item in _loss(wiring, masks).layers if item.layer not in hopeless]:
        path = cheapest_path(wiring, Prices(wiring, masks, scores, within), lost[0].layer)
        if path is None:
            hopeless.add(lost[0].layer)
            continue
        for place in path:
            masks[place.layer] = _with(masks[place.layer], place.position, True)
            added.setdefault(place.layer, set()).add(place.position)
    dropped = _drop(wiring, masks, scores, added)
    counts = {name: len(added[name]) for name in names if name in added}
    return Repaired(masks, counts, dropped)


def _loss(wiring: Wiring, masks: Mapping[str, Mask]) -> Loss:
    return find_loss(wiring, lambda name: masks[name].to_bool() if name in masks else None)


def _with(mask: Mask, positions: int | NDArray[np.int64], kept: bool) -> Mask:
    array = mask.to_bool().copy()
    array.reshape(-1)[positions] = kept
    return Mask.from_bool(array)


def _drop(
    wiring: Wiring, masks: dict[str, Mask], scores: Scores, added: Mapping[str, set[int]]
) -> dict[str, int]:
    """Take as many weights out of the largest layer as were put back, and change `masks`."""
    count = sum(map(len, added.values()))
    if not count:
        return {}
    name = max(masks, key=lambda layer: masks[layer].kept)
    candidates = _worst_first(masks[name], scores(name), added.get(name, set()))
    before, whole = _loss(wiring, masks), masks[name]
    masks[name] = _with(whole, candidates[:count], False)
    if len(candidates) >= count and _loss(wiring, masks) == before:
        return {name: count}
    masks[name], left = whole, 0
    for position in candidates[: count + TRIES]:
        trial = {**masks, name: _with(masks[name], position, False)}
        if _loss(wiring, trial) == before:
            masks[name], left = trial[name], left + 1
            if left == count:
                break
    return {name: left} if left else {}


def _worst_first(mask: Mask, scores: NDArray[np.generic], spared: set[int]) -> NDArray[np.int64]:
    """Positions of kept weights, the lowest score first; of equal ones the highest position."""
    kept = np.flatnonzero(mask.to_bool())
    kept = kept[~np.isin(kept, list(spared))][::-1]
    return np.asarray(kept[np.argsort(scores.reshape(-1)[kept], kind="stable")])
