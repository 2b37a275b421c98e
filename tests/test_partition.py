"""Parts of data, and the algebra of cores and specialists, against sets of Python."""

from __future__ import annotations

from functools import reduce
from operator import and_, or_

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottoc.diagnostics import InputError
from lottoc.fields import OptionError
from lottoc.masks.mask import Mask
from lottoc.partition import ByClass, ByShare, part_of


@given(st.lists(st.integers(0, 9), min_size=1), st.sets(st.integers(0, 9), min_size=1))
def test_classes_take_every_example_of_theirs_in_every_split(
    labels: list[int], classes: set[int]
) -> None:
    y, part = np.array(labels), ByClass(tuple(sorted(classes)))
    wanted = [row for row, label in enumerate(labels) if label in classes]
    for split in ("train", "test"):
        if wanted:
            assert part.rows(y, split).tolist() == wanted
        else:
            with pytest.raises(InputError) as caught:
                part.rows(y, split)
            assert caught.value.diagnostics[0].code == "part-empty"


@given(st.integers(0, 200), st.integers(2, 9), st.integers(0, 5))
def test_shares_are_disjoint_equal_and_together_all(examples: int, parts: int, seed: int) -> None:
    y = np.zeros(examples, np.int64)
    shares = [ByShare(number, parts, seed) for number in range(1, parts + 1)]
    if examples < parts:
        with pytest.raises(InputError):
            shares[-1].rows(y, "train")
        return
    rows = [share.rows(y, "train").tolist() for share in shares]
    assert sorted(row for share in rows for row in share) == list(range(examples))
    assert {len(share) for share in rows} <= {examples // parts, -(-examples // parts)}
    assert all(share == sorted(share) for share in rows)
    assert shares[0].rows(y, "test").tolist() == list(range(examples))


def test_shares_hang_on_their_seed_alone() -> None:
    y = np.arange(60)
    first, again = (ByShare(1, 2, 7).rows(y, "train") for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, ByShare(1, 2, 8).rows(y, "train"))
    # raw numbers of PCG64 are promised never to change, so the draw is not to change either
    assert ByShare(1, 3, 0).rows(np.arange(9), "train").tolist() == [3, 7, 8]


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"classes": []},
        {"classes": [1, 1]},
        {"classes": [-1]},
        {"share": 3, "of": 2},
        {"share": 0, "of": 2},
        {"share": 1, "of": 1},
        {"share": 1, "of": 2, "sed": 1},
    ],
)
def test_what_is_no_part(plain: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        part_of(plain)


def test_parts_as_ir_holds_them() -> None:
    for part in (ByClass((3, 1)), ByShare(2, 3, 4)):
        assert part_of(part.plain()) == part


@given(st.data(), st.integers(2, 5), st.sampled_from([(1, 1), (3, 5), (2, 3, 3)]))
def test_core_and_specialists(data: st.DataObject, count: int, shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape))
    bits = data.draw(
        st.lists(
            st.lists(st.booleans(), min_size=size, max_size=size), min_size=count, max_size=count
        )
    )
    masks = [Mask.from_bool(np.array(row).reshape(shape)) for row in bits]
    sets = [{place for place, kept in enumerate(row) if kept} for row in bits]
    core = reduce(and_, masks)
    specialists = [mask - core for mask in masks]
    nothing = Mask.from_bool(np.zeros(shape, np.bool_))

    def places(mask: Mask) -> set[int]:
        return set(np.flatnonzero(mask.to_bool()).tolist())

    assert places(core) == set.intersection(*sets)
    for mask, specialist, wanted in zip(masks, specialists, sets, strict=True):
        assert places(specialist) == wanted - set.intersection(*sets)
        assert core | specialist == mask
        assert core & specialist == nothing
        assert core.kept + specialist.kept == mask.kept
    assert reduce(and_, specialists) == nothing
    if count == 2:
        union = reduce(or_, masks)
        assert core.kept + sum(s.kept for s in specialists) == union.kept
