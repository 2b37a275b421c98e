"""Masks of groups: their shape, how much they hold, and that they nest."""

from __future__ import annotations

import itertools
import json
import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lottoc.masks.allocate import nearest
from lottoc.masks.groups import group_count, keep_groups
from lottoc.masks.patterns.groups import Groups
from lottoc.masks.select import NonFiniteScores

Array = NDArray[np.float64]
Bools = NDArray[Any]


def positive(seed: int, *shape: int) -> Array:
    return np.abs(np.random.default_rng(seed).standard_normal(shape))


def best_of(sums: Array, kept: int) -> float:
    return float(np.sort(sums)[::-1][:kept].sum())


def conforms(mask: Bools, least: int, columns: int) -> bool:
    """Whether rows of equal column sets come in groups of one size ≥ least, `columns` each."""
    flat = mask.reshape(*mask.shape[:2], -1)
    rows = flat.any(axis=2)
    sizes = [n for n in range(1, len(rows) + 1) if len(rows) % n == 0 and n >= least]
    size = min(sizes, default=len(rows))
    families = {tuple(row): 0 for row in rows}
    for row in rows:
        families[tuple(row)] += 1
    return (
        np.array_equal(rows, flat.all(axis=2))
        and all(sum(row) == columns for row in families)
        and all(count % size == 0 for count in families.values())
    )


@pytest.mark.parametrize(
    ("rows", "least", "count"),
    [(384, 64, 6), (1000, 64, 10), (48, 64, 1), (64, 64, 1), (97, 10, 1), (7, 1, 7), (127, 64, 1)],
)
def test_the_most_groups_of_equal_size(rows: int, least: int, count: int) -> None:
    assert group_count(rows, least) == count


def test_columns_are_rounded_halves_up_and_never_none() -> None:
    counts = [nearest(10, Fraction(d)) for d in ("1/4", "1/20", "1/21", "0", "1")]
    assert counts == [3, 1, 1, 1, 10]


def test_a_pattern_is_written_as_in_a_recipe() -> None:
    assert str(Groups(64)) == "groups(64)"
    assert str(Groups(64, permute=False)) == "groups(64, permute = false)"


@pytest.mark.parametrize("seed", range(10))
def test_consecutive_rows_are_the_best_of_all_column_sets(seed: int) -> None:
    scores = positive(seed, 6, 7)
    mask = keep_groups(scores, 3, 3, permute=False)
    best = sum(
        max(part[:, list(c)].sum() for c in itertools.combinations(range(7), 3))
        for part in (scores[:3], scores[3:])
    )
    assert conforms(mask, 3, 3)
    assert scores[mask].sum() == pytest.approx(best)
    assert (mask[:3] == mask[0]).all()
    assert (mask[3:] == mask[3]).all()


def test_the_search_is_near_the_best_of_all_partitions() -> None:
    shares = []
    for seed in range(100):
        scores = positive(seed, 6, 8)
        held = scores[keep_groups(scores, 3, 3)].sum()
        best = 0.0
        for some in itertools.combinations(range(6), 3):
            others = [i for i in range(6) if i not in some]
            sums = (scores[list(some)].sum(axis=0), scores[others].sum(axis=0))
            best = max(best, sum(best_of(s, 3) for s in sums))
        shares.append(held / best)
    assert max(shares) <= 1 + 1e-12
    assert np.mean(shares) > 0.98


@pytest.mark.parametrize("seed", range(30))
def test_planted_groups_are_found_again(seed: int) -> None:
    draw = np.random.default_rng(seed)
    groups, size, columns = draw.integers(2, 9), draw.integers(2, 20), draw.integers(8, 60)
    kept = int(draw.integers(1, columns // 2 + 1))
    sets = np.stack([draw.permutation(columns) < kept for _ in range(groups)])
    planted = np.repeat(sets, size, axis=0)[draw.permutation(groups * size)]
    scores = np.where(planted, 1 + draw.random(planted.shape), 0.3 * draw.random(planted.shape))
    assert np.array_equal(keep_groups(scores, int(size), kept), planted)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_every_mask_conforms_holds_more_than_consecutive_rows_and_nests(
    data: st.DataObject,
) -> None:
    shape = data.draw(
        st.tuples(st.integers(1, 24), st.integers(1, 12))
        | st.tuples(st.integers(1, 12), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3))
    )
    least = data.draw(st.integers(1, 30))
    first = data.draw(st.integers(1, shape[1]))
    then = data.draw(st.integers(1, first))
    dtype = data.draw(st.sampled_from(["float16", "float32", "float64"]))
    order = data.draw(st.sampled_from(["C", "F"]))
    # few different scores: ties are the rule
    draw = np.random.default_rng(data.draw(st.integers(0, 1000)))
    before, after = (np.array(draw.integers(0, 5, shape), dtype, order=order) for _ in range(2))
    permute = data.draw(st.booleans())
    outer = keep_groups(before, least, first, permute=permute)
    assert conforms(outer, least, first)
    assert np.array_equal(outer, keep_groups(before.copy("K"), least, first, permute=permute))
    straight = keep_groups(before, least, first, permute=False)
    assert before[outer].sum(dtype=float) >= before[straight].sum(dtype=float)
    inner = keep_groups(after, least, then, within=outer, permute=permute)
    assert not (inner & ~outer).any()
    assert conforms(inner, least, then)


def test_an_earlier_mask_without_groups_is_respected() -> None:
    scores, within = positive(0, 8, 8), positive(1, 8, 8) > 0.7
    mask = keep_groups(scores, 4, 3, within=within)
    assert not (mask & ~within).any()
    sums = (scores * within)[:4].sum(axis=0), (scores * within)[4:].sum(axis=0)
    assert scores[mask].sum() >= sum(best_of(s, 3) for s in sums) - 1e-9


def test_nothing_is_left_of_nothing() -> None:
    assert not keep_groups(positive(0, 4, 4), 2, 2, within=np.zeros((4, 4), np.bool_)).any()


def test_ties_keep_the_earlier_column() -> None:
    mask = keep_groups(np.ones((4, 5), np.float32), 2, 2)
    assert mask.tolist() == [[True, True, False, False, False]] * 4


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_scale_does_not_matter(scale: float) -> None:
    scores = positive(3, 12, 9)
    assert np.array_equal(keep_groups(scores * scale, 3, 4), keep_groups(scores, 3, 4))


def test_scores_below_zero_are_compared_like_others() -> None:
    scores = -positive(3, 12, 9)
    mask = keep_groups(scores, 12, 4)
    assert scores[mask].sum() == pytest.approx(best_of(scores.sum(axis=0), 4))


def test_many_groups_are_searched_in_parts() -> None:
    scores = positive(5, 300, 20)
    mask = keep_groups(scores, 2, 5)
    straight = keep_groups(scores, 2, 5, permute=False)
    assert conforms(mask, 2, 5)
    assert scores[mask].sum() > 1.02 * scores[straight].sum()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_cannot_be_ranked_is_refused(value: float) -> None:
    scores = positive(0, 4, 4)
    scores[2, 1] = value
    with pytest.raises(NonFiniteScores, match=re.escape("[2, 1]")):
        keep_groups(scores, 2, 2)


@pytest.mark.parametrize(("least", "columns"), [(0, 2), (2, 0), (2, 5)])
def test_numbers_that_fit_no_mask_are_refused(least: int, columns: int) -> None:
    with pytest.raises(ValueError, match=r"groups|columns"):
        keep_groups(positive(0, 4, 4), least, columns)


def test_consecutive_rows_can_be_asked_for_in_a_recipe(project: Path) -> None:
    from typer.testing import CliRunner

    from lottoc.cli import app

    text = (project / "pruned.lotto").read_text()
    asked = "sparsity = 75%   pattern = groups(4, permute = false)"
    (project / "groups.lotto").write_text(text.replace("pattern = 2:4", asked))
    result = CliRunner().invoke(app, ["ir", "groups.lotto", "--stage", "recipe"])
    assert result.exit_code == 0, result.output
    assert 'density = "1/4", pattern = "groups(4, permute = false)"' in result.output


def test_three_rounds_of_imp_keep_their_groups(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every round's mask, seen where the engine makes it: in groups, and within the last one's."""
    from typer.testing import CliRunner

    from lottoc.cli import app
    from lottoc.masks import groups

    made: list[tuple[Bools | None, Bools]] = []

    def spy(scores: Array, least: int, columns: int, within: Bools | None, permute: bool) -> Bools:
        mask = keep_groups(scores, least, columns, within, permute)
        assert conforms(mask, least, columns)
        made.append((within, mask))
        return mask

    monkeypatch.setattr(groups, "keep_groups", spy)
    text = (project / "trained.lotto").read_text()
    recipe = text.replace("sparsity = target", "sparsity = target   pattern = groups(8)")
    (project / "groups.lotto").write_text(recipe)
    result = CliRunner().invoke(app, ["compile", "groups.lotto", "-o", "out"])
    assert result.exit_code in (0, 1), result.output
    masks = [mask for within, mask in made if within is None]
    for shape in {mask.shape for mask in masks}:
        rounds = [pair for pair in made if pair[1].shape == shape]
        assert len(rounds) == 3
        for (_, earlier), (within, later) in itertools.pairwise(rounds):
            assert within is not None
            assert np.array_equal(within, earlier)
            assert not (later & ~earlier).any()
            assert later.sum() < earlier.sum()
    report = json.loads((project / "out" / "report.json").read_text())
    assert {x["pattern"] for x in report["tickets"]["winning"]["layers"]} == {"groups(8)"}
