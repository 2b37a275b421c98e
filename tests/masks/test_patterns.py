"""What every pattern promises: its text, its counts, its law, round after round."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lottoc.masks.patterns import PATTERNS, examples, parse, pattern_class
from lottoc.masks.patterns.block import Block
from lottoc.masks.patterns.groups import Groups
from lottoc.masks.patterns.nm import NofM
from lottoc.masks.patterns.pattern import Pattern

TEXTS = [
    *("unstructured", "2:4", "1:1", "3:3", "1:6", "groups(4)", "groups(3, permute = false)"),
    *("rows", "block(2, 3)", "fanin", "permuted(2, 4)", "permuted(1, 3)"),
]
SCOPES = ("global", "layerwise", "uniform", "erk")


def test_examples_are_of_every_pattern() -> None:
    assert {type(parse(text)) for text in examples()} == {pattern_class(n) for n in PATTERNS}
    assert {type(parse(text)) for text in TEXTS} == {pattern_class(n) for n in PATTERNS}


@pytest.mark.parametrize("text", [*TEXTS, *examples(), "groups(999999999)"])
def test_a_pattern_is_what_it_prints(text: str) -> None:
    assert str(parse(text)) == text
    assert parse(text) == parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "heaps",
        "2:",
        "02:4",
        "2 : 4",
        "-2:4",
        "5:4",
        "0:4",
        "N:M",
        "groups",
        "groups()",
        "groups(0)",
        "groups(1000000000)",
        "groups(true)",
        "groups(4, permute = true)",
        "groups(4,permute = false)",
        "groups(4, false)",
        "groups(4, permute = 0)",
        "groups(4, 4, 4)",
        "groups(least = 4)",
        "groups(4, heaps = 3)",
        "permuted(2:4)",
        "permuted(2)",
        "permuted(5, 4)",
        "unstructured()",
        "unstructured(3)",
        "channels",
        "rows(3)",
        "block(4)",
        "block(0, 4)",
        "block(4, 4, 4)",
        "fanin(3)",
    ],
)
def test_anything_else_is_no_pattern(text: str) -> None:
    with pytest.raises(ValueError, match=f'pattern "{text}"'.translate({40: ".", 41: "."})):
        parse(text)


def fitting(pattern: Pattern, draw: st.DrawFn) -> tuple[int, ...]:
    """A small shape that a pattern fits."""
    shape = [draw(st.integers(1, 9)) for _ in range(draw(st.integers(2, 4)))]
    if isinstance(pattern, NofM):
        shape[1] = pattern.m * draw(st.integers(1, 3))
    if isinstance(pattern, Block):
        shape[:2] = [2 * draw(st.integers(1, 4)), 3 * draw(st.integers(1, 3))]
    assert pattern.misfit(shape) is None
    return tuple(shape)


def scores_of(draw: st.DrawFn, shape: tuple[int, ...]) -> np.ndarray:
    """Scores with ties, in C or Fortran order."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = random.integers(0, draw(st.sampled_from([2, 5, 1000])), size=shape)
    return np.asarray(values, dtype=np.float32, order=draw(st.sampled_from("CF")))  # type: ignore[call-overload]


@given(st.data(), st.sampled_from(TEXTS), st.sampled_from(SCOPES), st.fractions(0, 1))
def test_rounds_are_nested_lawful_and_exact(
    data: st.DataObject, text: str, scope: str, density: Fraction
) -> None:
    pattern = parse(text)
    density = density if pattern.density is None else pattern.density
    count = data.draw(st.integers(1, 4))
    shapes = [fitting(pattern, data.draw) for _ in range(data.draw(st.integers(1, 3)))]
    rounds = pattern.rounds(density, count)
    assert rounds[-1] == (density, pattern)
    assert len(rounds) == count
    masks: list[np.ndarray] | None = None
    for share, each in rounds:
        scores = [scores_of(data.draw, shape) for shape in shapes]
        before = masks
        if scope == "global" and each.ranks_together:
            size = sum(map(math.prod, shapes))
            kept = size - math.floor((1 - share) * size)
            masks = list(each.keep_together(scores, kept, before))
            assert sum(int(m.sum()) for m in masks) >= kept
        else:
            counts = each.counts(scope, shapes, share)
            for shape, kept in zip(shapes, counts, strict=True):
                assert each.impossible(shape, kept) is None
            within: list[np.ndarray | None] = [None] * len(shapes) if before is None else [*before]
            if each.in_order is not None and before is None:  # found in the first round and kept
                orders = [np.random.default_rng(0).permutation(shape[1]) for shape in shapes]
            if each.in_order is not None:
                ordered = zip(orders, scores, counts, within, strict=True)
                masks = [each.keep_in(*one) for one in ordered]
                for mask, order in zip(masks, orders, strict=True):
                    assert each.in_order.holds(mask[:, order])
            else:
                masks = [each.keep(*one) for one in zip(scores, counts, within, strict=True)]
            assert [int(mask.sum()) for mask in masks] == counts
        for index, (mask, shape) in enumerate(zip(masks, shapes, strict=True)):
            assert mask.shape == shape
            assert each.holds(mask)
            assert mask.sum() >= each.at_least(shape)
            assert before is None or not (mask & ~before[index]).any()


@given(st.data(), st.sampled_from([t for t in TEXTS if t not in ("unstructured", "1:1", "3:3")]))
def test_one_weight_more_or_less_breaks_the_law(data: st.DataObject, text: str) -> None:
    """Where a law holds of all weights, a mask that differs in one is caught."""
    pattern = parse(text)
    shape = fitting(pattern, data.draw)
    assume(shape[0] > 1)  # a row alone may keep any number
    assume(math.prod(shape[1:]) > 1)  # as may a row of one weight
    (kept,) = pattern.counts("uniform", [shape], Fraction(1, 2))
    mask = pattern.keep(scores_of(data.draw, shape), kept)
    place = tuple(data.draw(st.integers(0, length - 1)) for length in shape)
    mask[place] ^= True
    assert not pattern.holds(mask)


def test_the_law_of_groups_in_order_is_stronger() -> None:
    mixed = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], dtype=np.bool_)
    assert parse("groups(2)").holds(mixed)
    assert not parse("groups(2, permute = false)").holds(mixed)
    assert parse("groups(2, permute = false)").holds(mixed[[0, 2, 1, 3]])


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("unstructured", (2, 3)),
        ("2:4", (3, 4)),
        ("1:2", (3, 2, 2)),
        ("1:6", (2, 6)),
        ("groups(2)", (4, 3)),
        ("groups(2)", (2, 3, 2)),
        ("groups(2, permute = false)", (4, 3)),
        ("rows", (4, 3)),
        ("rows", (3, 2, 2)),
        ("block(2, 3)", (4, 3)),
        ("block(1, 2)", (3, 4)),
        ("block(2, 1)", (2, 2, 3)),
        ("fanin", (4, 3)),
        ("fanin", (2, 3, 2)),
    ],
)
def test_counts_are_those_of_all_masks_there_are(text: str, shape: tuple[int, ...]) -> None:
    """`impossible` against every mask of a small layer; groups keep at least one column."""
    pattern, size = parse(text), math.prod(shape)
    there = {
        sum(bits)
        for bits in itertools.product((False, True), repeat=size)
        if pattern.holds(np.array(bits).reshape(shape))
    }
    if isinstance(pattern, Groups):
        there.remove(0)
    assert {n for n in range(-1, size + 2) if pattern.impossible(shape, n) is None} == there


def test_a_permuted_pattern_keeps_more_and_holds_in_some_order() -> None:
    """Alone, it finds an order of its own; a mask in the given order is one such too."""
    scores = np.abs(np.random.default_rng(0).standard_normal((6, 16))).astype(np.float32)
    plain, permuted = parse("2:4"), parse("permuted(2, 4)")
    mask = permuted.keep(scores, 48)
    assert permuted.holds(mask)
    assert permuted.holds(plain.keep(scores, 48))
    assert not plain.holds(mask)
    assert scores[mask].sum() > 1.01 * scores[plain.keep(scores, 48)].sum()


def test_a_mask_that_does_not_hold_in_the_order_is_refused() -> None:
    within = np.zeros((1, 8), np.bool_)
    within[0, :4] = True
    scores, order = np.ones((1, 8), np.float32), np.array([0, 1, 4, 5, 2, 3, 6, 7])
    permuted = parse("permuted(2, 4)")
    assert permuted.keep_in(order, scores, 4, within).tolist() == [[True] * 4 + [False] * 4]
    with pytest.raises(ValueError, match=r"no mask of pattern permuted\(2, 4\) in it"):
        permuted.keep_in(np.arange(8), scores, 4, within)
