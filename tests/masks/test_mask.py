"""Laws of packed masks, against plain boolean arrays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from lottoc.masks.mask import Mask, load_masks, save_masks, shuffle, stream

shapes = npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=11)
arrays = npst.arrays(np.bool_, shapes)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(shapes)
    return draw(npst.arrays(np.bool_, shape)), draw(npst.arrays(np.bool_, shape))


def padding_is_zero(mask: Mask) -> bool:
    return not np.unpackbits(mask.bits)[mask.size :].any()


@given(arrays)
def test_packing_round_trips_and_counts(array: np.ndarray) -> None:
    mask = Mask.from_bool(array)
    assert mask.shape == array.shape
    assert mask.size == array.size
    assert mask.bits.nbytes == (array.size + 7) // 8
    assert np.array_equal(mask.to_bool(), array)
    assert mask.to_bool().dtype == np.bool_
    assert mask.kept == np.count_nonzero(array)
    assert mask.density == (array.mean() if array.size else 0)
    assert padding_is_zero(mask)


@given(pairs())
def test_algebra_is_that_of_booleans(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = pair
    x, y = Mask.from_bool(a), Mask.from_bool(b)
    results = {
        "and": (x & y, a & b),
        "or": (x | y, a | b),
        "xor": (x ^ y, a ^ b),
        "difference": (x - y, a & ~b),
        "complement": (~x, ~a),
    }
    for name, (packed, plain) in results.items():
        assert np.array_equal(packed.to_bool(), plain), name
        assert padding_is_zero(packed), name
        assert packed.kept == np.count_nonzero(plain), name
    assert (x <= y) == bool((a <= b).all())
    assert (x == y) == np.array_equal(a, b)


@given(pairs())
def test_laws(pair: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = (Mask.from_bool(array) for array in pair)
    assert ~(x & y) == ~x | ~y
    assert ~(x | y) == ~x & ~y
    assert x - y == x & ~y
    assert x ^ y == (x | y) - (x & y)
    assert ~~x == x
    assert x & y <= x <= x | y
    assert x | ~x == Mask.full(x.shape)
    assert (x - y).kept + (x & y).kept == x.kept
    assert hash(x & y) == hash(y & x)


@given(arrays)
def test_full_keeps_everything(array: np.ndarray) -> None:
    assert np.array_equal(Mask.full(array.shape).to_bool(), np.ones(array.shape, dtype=np.bool_))


@given(npst.arrays(np.bool_, npst.array_shapes(min_dims=2, max_dims=4, max_side=17)), st.data())
def test_positions_are_in_c_order_whatever_the_layout(
    array: np.ndarray, data: st.DataObject
) -> None:
    axes = data.draw(st.permutations(range(array.ndim)))
    laid_out = np.ascontiguousarray(array.transpose(axes)).transpose(np.argsort(axes))
    assert np.array_equal(laid_out, array)
    assert Mask.from_bool(laid_out) == Mask.from_bool(array)
    assert Mask.from_bool(array[::-1, ::2]) == Mask.from_bool(array[::-1, ::2].copy())


def test_bits_are_in_c_order_highest_first() -> None:
    mask = Mask.from_bool(np.array([[True, False, False], [True, True, False]]))
    assert mask.bits.tolist() == [0b10011000]


def test_equality_needs_equal_shapes_and_masks() -> None:
    assert Mask.full((2, 3)) != Mask.full((3, 2))
    assert Mask.full((2,)) != "mask"
    assert {Mask.full((2, 3)): 1}[Mask.full((2, 3))] == 1


@pytest.mark.parametrize("operation", ["__and__", "__or__", "__xor__", "__sub__", "__le__"])
def test_masks_of_different_shapes_do_not_combine(operation: str) -> None:
    with pytest.raises(ValueError, match=r"shapes \(2, 3\) and \(6,\) do not combine"):
        getattr(Mask.full((2, 3)), operation)(Mask.full((6,)))


def test_what_is_no_mask_is_refused() -> None:
    with pytest.raises(TypeError, match="not of float32"):
        Mask.from_bool(np.ones(3, dtype=np.float32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"is uint8\[2\], not uint8\[1\]"):
        Mask((3, 3), np.zeros(1, dtype=np.uint8))
    with pytest.raises(ValueError, match=r"is uint8\[1\], not int64\[1\]"):
        Mask((3,), np.zeros(1, dtype=np.int64))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bits beyond its 3"):
        Mask((3,), np.array([0b00010000], dtype=np.uint8))


def test_a_mask_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Mask.full((9,)).bits[0] = 0
    mine = Mask.full((9,)).to_bool()
    mine[0] = False  # a copy of the caller's own


@given(st.dictionaries(st.text(max_size=9), arrays, max_size=4))
def test_files_round_trip_with_equal_bytes(
    tmp_path_factory: pytest.TempPathFactory, given_arrays: dict[str, np.ndarray]
) -> None:
    folder = tmp_path_factory.mktemp("masks")
    masks = {name: Mask.from_bool(array) for name, array in given_arrays.items()}
    save_masks(folder / "a", masks)
    save_masks(folder / "b", dict(reversed(masks.items())))
    assert load_masks(folder / "a") == masks
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()


def test_names_never_clash(tmp_path: Path) -> None:
    names = ["fc", "shape/fc", "bits/fc", "bits/", ""]
    masks = {name: Mask.full((number,)) for number, name in enumerate(names)}
    save_masks(tmp_path / "m", masks)
    assert load_masks(tmp_path / "m") == masks


@given(arrays, st.integers(0, 2**40), st.text(max_size=9))
def test_shuffling_keeps_as_many(array: np.ndarray, seed: int, name: str) -> None:
    mask = Mask.from_bool(array)
    shuffled = shuffle(mask, seed, name)
    assert shuffled.shape == mask.shape
    assert shuffled.kept == mask.kept
    assert shuffle(mask, seed, name) == shuffled


def test_shuffling_changes_masks_by_seed_and_by_layer() -> None:
    mask = Mask.from_bool(np.arange(400).reshape(20, 20) < 100)
    results = [mask, *(shuffle(mask, s, n) for s in (0, 1) for n in ("fc1", "fc2"))]
    assert len(set(results)) == 5
    # two independent masks of density 1/4 share 1/16 of the places, 25 ± 4.3
    overlaps = [(a & b).kept for i, a in enumerate(results) for b in results[:i]]
    assert all(5 < overlap < 45 for overlap in overlaps)


def test_shuffling_reaches_every_place_equally() -> None:
    mask = Mask.from_bool(np.arange(24) < 6)
    draws = 2000
    hits = sum(shuffle(mask, seed, "fc").to_bool().astype(int) for seed in range(draws))
    expected = draws / 4
    chi_square = float(((hits - expected) ** 2 / (expected * 3 / 4)).sum()) * 23 / 24
    assert chi_square < 49.7  # 23 degrees of freedom, 0.1 %


def test_shuffling_is_the_same_in_every_process() -> None:
    program = (
        "import numpy as np; from lottoc.masks.mask import Mask, shuffle;"
        "print(shuffle(Mask.from_bool(np.arange(20) < 7), 3, 'fc1').bits.tobytes().hex())"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert there.stdout.decode().strip() == "656200"


def test_streams_are_independent_of_each_other() -> None:
    draws = [stream(seed, name).random(1000) for seed in (0, 1) for name in ("a", "b")]
    assert np.abs(np.corrcoef(draws) - np.eye(4)).max() < 0.1
