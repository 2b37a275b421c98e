"""A change applied and taken back: exact for every bit pattern, refused on anything else."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lottoc.adapters.change import AFTER, BEFORE, Unfit, change
from lottoc.masks.mask import Mask

TYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
}
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5)


@st.composite
def tensors(draw, count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Arrays of one shape and type with any bits at all, NaN and -0.0 too, and as many masks."""
    dtype, shape = TYPES[draw(st.sampled_from(sorted(TYPES)))], draw(SHAPES)
    raw = st.binary(min_size=int(np.prod(shape)) * dtype.itemsize)
    arrays = []
    for _ in range(count):
        bits = draw(raw)[: int(np.prod(shape)) * dtype.itemsize]
        arrays.append(np.frombuffer(bits, np.uint8).view(dtype).reshape(shape))
    masks = [draw(hnp.arrays(np.bool_, shape)) for _ in range(count)]
    return arrays, masks


@given(tensors(2))
def test_there_and_back(drawn) -> None:
    (before, other), (kept, _) = drawn
    after = np.where(kept, other, before)
    found = change(before, after, Mask.from_bool(kept))
    assert found.values.shape == (kept.sum(),)
    moved = found.moved(before)
    assert moved.dtype == before.dtype
    assert moved.tobytes() == after.tobytes()
    assert found.moved(moved, back=True).tobytes() == before.tobytes()


@given(tensors(3))
def test_disjoint_changes_go_on_and_off_in_any_order(drawn) -> None:
    (base, one, two), (first, second, _) = drawn
    second = second & ~first
    a = change(base, np.where(first, one, base), Mask.from_bool(first))
    on_top = np.where(first, one, base)
    b = change(on_top, np.where(second, two, on_top), Mask.from_bool(second))
    both = np.where(second, two, on_top).tobytes()
    assert b.moved(a.moved(base)).tobytes() == both
    assert a.moved(b.moved(base)).tobytes() == both
    alone = a.moved(b.moved(a.moved(base)), back=True)
    assert alone.tobytes() == b.moved(base).tobytes()
    assert b.moved(alone, back=True).tobytes() == base.tobytes()


@given(tensors(2), st.data())
def test_what_the_mask_keeps_must_be_what_it_was(drawn, data) -> None:
    """One bit off is another base, wherever in the mask; outside of it nobody asks."""
    (before, other), (kept, _) = drawn
    found = change(before, np.where(kept, other, before), Mask.from_bool(kept))
    place = data.draw(st.integers(0, before.nbytes * 8 - 1))
    raw = np.frombuffer(before.tobytes(), np.uint8).copy()
    raw[place // 8] ^= 1 << place % 8
    wrong = raw.view(before.dtype).reshape(before.shape)
    if kept.reshape(-1)[place // 8 // before.itemsize]:
        with pytest.raises(Unfit, match="holds other weights"):
            found.moved(wrong)
    else:
        assert found.moved(found.moved(wrong), back=True).tobytes() == wrong.tobytes()


def test_it_says_which_weights_it_met() -> None:
    before, after = np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)
    after[1, 2] = -0.0
    found = change(before, after, Mask.from_bool(np.ones((2, 3), bool)))
    with pytest.raises(Unfit) as twice:
        found.moved(after)
    assert twice.value.found == AFTER
    with pytest.raises(Unfit) as early:
        found.moved(before, back=True)
    assert early.value.found == BEFORE
    with pytest.raises(Unfit, match=r"is float64\[2, 3\], not float32\[2, 3\]"):
        found.moved(before.astype(np.float64))
    with pytest.raises(Unfit, match=r"is float32\[3, 2\]"):
        found.moved(before.reshape(3, 2))


def test_nothing_else_may_have_changed() -> None:
    before, after = np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)
    kept = np.array([[True, True, True], [True, True, False]])
    with pytest.raises(ValueError, match="outside of the mask"):
        change(before, after, Mask.from_bool(kept))
    with pytest.raises(ValueError, match="cannot become"):
        change(before, after.astype(np.float16), Mask.from_bool(kept))
    with pytest.raises(ValueError, match="no floating-point type"):
        change(before.astype(np.int8), after.astype(np.int8), Mask.from_bool(kept))


def test_a_size_by_hand() -> None:
    """16 weights, 4 of them moved: two bytes of mask, four values of four bytes."""
    kept = np.arange(16) < 4
    found = change(np.zeros(16, np.float32), kept.astype(np.float32), Mask.from_bool(kept))
    assert found.nbytes == 2 + 4 * 4
    assert found.values.tolist() == [0x3F800000] * 4  # 0.0 ^ 1.0
