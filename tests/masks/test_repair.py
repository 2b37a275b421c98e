"""No repair could put back fewer weights, nor better ones: checked by trying all that there are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottoc.masks.cheapest_path import Prices, cheapest_path
from lottoc.masks.mask import Mask
from lottoc.masks.repair import repair
from lottoc.masks.signal import Read, Step, Use, Wiring, find_loss

Masks = dict[str, np.ndarray]


def chain(*widths: int) -> Wiring:
    """Linear layers a, b, … one after the other."""
    uses = [Use("abcdef"[i], i, i + 1) for i in range(len(widths) - 1)]
    return Wiring(list(widths), [*uses], [0], [("y", len(widths) - 1)])


def branched(rng: np.random.Generator) -> tuple[Wiring, dict[str, tuple[int, ...]]]:
    """Layers in a row, with a residual or a concatenation around two of them, or groups."""
    wiring = Wiring([2], [], [0], [])
    shapes: dict[str, tuple[int, ...]] = {}

    def value(width: int) -> int:
        wiring.widths.append(width)
        return len(wiring.widths) - 1

    def layer(source: int, width: int, groups: int = 1) -> int:
        name, target = "abcdef"[len(shapes)], value(width)
        places = (2,) if rng.random() < 0.3 else ()
        shapes[name] = (width, wiring.widths[source] // groups, *places)
        wiring.steps.append(Use(name, source, target, groups))
        return target

    x = layer(0, 2)
    y = layer(layer(x, 2), 2)
    match rng.integers(4):
        case 0:
            target = value(2)
            wiring.steps.append(Step(target, tuple(Read(v, np.arange(2)) for v in (x, y))))
        case 1:
            target = value(4)
            places = (np.array([0, 1, -1, -1]), np.array([-1, -1, 0, 1]))
            reads = (Read(x, places[0]), Read(y, places[1]))
            wiring.steps.append(Step(target, reads))
        case 2:
            target = layer(y, 2, groups=2)
        case _:
            target = value(2)
            shapes["z"] = (2, 1)
            wiring.steps.append(Use("z", y, target, 2, depthwise=True))
    wiring.outputs.append(("y", layer(target, 1)))
    return wiring, shapes


def every(masks: Masks) -> list[tuple[str, int]]:
    return [(name, int(at)) for name in masks for at in np.flatnonzero(~masks[name].reshape(-1))]


def with_back(masks: Masks, places: tuple[tuple[str, int], ...]) -> Masks:
    result = {name: mask.copy() for name, mask in masks.items()}
    for name, at in places:
        result[name].reshape(-1)[at] = True
    return result


def solutions(
    wiring: Wiring, masks: Masks, layer: str, count: int
) -> Iterator[tuple[tuple[str, int], ...]]:
    for places in combinations(every(masks), count):
        after = with_back(masks, places)
        if layer not in {lost.layer for lost in find_loss(wiring, after.__getitem__).layers}:
            yield places


def packed(masks: Masks) -> dict[str, Mask]:
    return {name: Mask.from_bool(mask) for name, mask in masks.items()}


def compare(seed: int, density: float) -> bool:
    """Whether there was a silent layer, whose repair has then been compared with all others."""
    rng = np.random.default_rng(seed)
    wiring, shapes = branched(rng)
    masks = {name: rng.random(shape) < density for name, shape in shapes.items()}
    scores = {name: rng.integers(1, 9, shape) / 8 for name, shape in shapes.items()}
    loss = find_loss(wiring, masks.__getitem__)
    result = repair(wiring, packed(masks), scores.__getitem__, {})
    after = {name: mask.to_bool() for name, mask in result.masks.items()}
    assert not find_loss(wiring, after.__getitem__)
    if not loss.layers:
        return False
    layer = loss.layers[0].layer
    path = cheapest_path(wiring, Prices(wiring, packed(masks), scores.__getitem__, {}), layer)
    assert path is not None
    if len(path) > 3:
        return False
    for fewer in range(len(path)):
        assert not any(solutions(wiring, masks, layer, fewer))
    best = max(
        sum(scores[name].reshape(-1)[at] for name, at in places)
        for places in solutions(wiring, masks, layer, len(path))
    )
    assert sum(scores[place.layer].reshape(-1)[place.position] for place in path) == best
    return True


@given(st.integers(0, 10_000), st.sampled_from([0.35, 0.5, 0.7]))
@settings(max_examples=60, deadline=None)
def test_a_silent_layer_gets_the_fewest_and_best_weights(seed: int, density: float) -> None:
    compare(seed, density)


def test_brute_force_is_reached() -> None:
    """The property above returns early where there is nothing to compare."""
    assert sum(compare(seed, 0.5) for seed in range(60)) > 20


def test_one_path_repairs_a_whole_chain() -> None:
    """Three empty layers: one weight each, along the units of the best scores together."""
    wiring = chain(2, 2, 2, 1)
    shapes = {"a": (2, 2), "b": (2, 2), "c": (1, 2)}
    masks = packed({name: np.zeros(shape, np.bool_) for name, shape in shapes.items()})
    scores = {
        "a": np.array([[1.0, 2.0], [5.0, 3.0]]),
        "b": np.array([[9.0, 1.0], [2.0, 4.0]]),
        "c": np.array([[1.0, 8.0]]),
    }
    result = repair(wiring, masks, scores.__getitem__, {})
    # through unit 1 and 1: 5 + 4 + 8; through 0 and 0: 2 + 9 + 1; through 0 and 1: 2 + 2 + 8
    assert result.masks["a"].to_bool().tolist() == [[False, False], [True, False]]
    assert result.masks["b"].to_bool().tolist() == [[False, False], [False, True]]
    assert result.masks["c"].to_bool().tolist() == [[False, True]]
    assert result.added == {"a": 1, "b": 1, "c": 1}
    assert result.dropped == {}  # nothing else is kept that could leave


def test_as_many_leave_the_largest_layer_the_worst_first() -> None:
    wiring = chain(4, 4, 2)
    a = np.ones((4, 4), np.bool_)
    scores = {"a": np.arange(16.0).reshape(4, 4), "b": np.array([[1.0, 7, 3, 4], [5, 6, 2, 8]])}
    masks = packed({"a": a, "b": np.zeros((2, 4), np.bool_)})
    result = repair(wiring, masks, scores.__getitem__, {})
    assert (result.added, result.dropped) == ({"b": 1}, {"a": 1})
    assert np.argwhere(result.masks["b"].to_bool()).tolist() == [[1, 3]]
    assert np.argwhere(~result.masks["a"].to_bool()).tolist() == [[0, 0]]


def test_a_weight_that_carries_the_signal_does_not_leave() -> None:
    """The only weight of a that reaches b's unit has the worst score; another one leaves."""
    wiring = chain(2, 2, 1)
    masks = packed({"a": np.array([[1, 0], [1, 1]], np.bool_), "b": np.zeros((1, 2), np.bool_)})
    scores = {"a": np.array([[1.0, 2.0], [3.0, 4.0]]), "b": np.array([[9.0, 1.0]])}
    result = repair(wiring, masks, scores.__getitem__, {})
    assert result.masks["b"].to_bool().tolist() == [[True, False]]
    assert result.masks["a"].to_bool().tolist() == [[True, False], [False, True]]


def test_only_weights_of_an_earlier_mask_come_back() -> None:
    wiring = chain(1, 2, 1)
    masks = packed({"a": np.zeros((2, 1), np.bool_), "b": np.ones((1, 2), np.bool_)})
    scores = {"a": np.array([[5.0], [1.0]]), "b": np.ones((1, 2))}
    within = packed({"a": np.array([[False], [True]]), "b": np.ones((1, 2), np.bool_)})
    result = repair(wiring, masks, scores.__getitem__, within)
    assert result.masks["a"].to_bool().tolist() == [[False], [True]]
    none = packed({"a": np.zeros((2, 1), np.bool_)})
    hopeless = repair(wiring, masks, scores.__getitem__, none)
    assert (hopeless.masks["a"].kept, hopeless.added) == (0, {})


def test_equal_scores_keep_the_lower_position() -> None:
    wiring = chain(3, 2)
    masks = packed({"a": np.zeros((2, 3), np.bool_)})
    result = repair(wiring, masks, lambda name: np.ones((2, 3)), {})
    assert np.argwhere(result.masks["a"].to_bool()).tolist() == [[0, 0]]


@pytest.mark.parametrize("seed", range(3))
def test_masks_that_carry_signal_stay_as_they_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wiring = chain(8, 8, 8)
    masks = packed({name: rng.random((8, 8)) < 0.6 for name in "ab"})
    result = repair(wiring, masks, lambda name: np.ones((8, 8)), {})
    assert result.masks == masks
    assert (result.added, result.dropped) == ({}, {})
