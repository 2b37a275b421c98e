"""2:4 packing without a GPU is torch's own conversion, bit by bit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.sparse import _semi_structured_conversions as torchs

from lottoc.runtime.two_of_four import NotTwoOfFour, multiples, pack, unpack

TORCH_TYPES = (torch.int8, torch.float16, torch.bfloat16)
TYPES = (*TORCH_TYPES, torch.float32, torch.float64)


def matrix(rows: int, columns: int, dtype: torch.dtype, fill: float, seed: int) -> torch.Tensor:
    """Random numbers, at most two of every four."""
    draw = torch.Generator().manual_seed(seed)
    ranks = torch.rand(rows, columns // 4, 4, generator=draw).argsort(-1).argsort(-1)
    kept = (ranks < 2) & (torch.rand(ranks.shape, generator=draw) < fill)
    numbers = (torch.randn(rows, columns, generator=draw) * 50).to(dtype)
    return torch.where(kept.view(rows, columns), numbers, torch.zeros((), dtype=dtype))


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(torch.uint8)


shapes = st.tuples(st.integers(1, 4), st.integers(1, 5))


@given(shapes, st.sampled_from(TORCH_TYPES), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_packing_is_torchs_own(
    shape: tuple[int, int], dtype: torch.dtype, fill: float, seed: int
) -> None:
    rows, columns = (n * least for n, least in zip(shape, multiples(dtype), strict=True))
    dense = matrix(rows, columns, dtype, fill, seed)
    values, meta = pack(dense)
    own_values, own_meta = torchs.sparse_semi_structured_from_dense_cutlass(dense)
    assert values.dtype == own_values.dtype
    assert meta.dtype == own_meta.dtype
    assert torch.equal(bits(values), bits(own_values))
    assert torch.equal(meta, own_meta)
    assert torch.equal(bits(unpack(values, meta)), bits(dense))
    torchs_dense = torchs.sparse_semi_structured_to_dense_cutlass(values, meta)
    assert torch.equal(bits(torchs_dense), bits(dense))


@given(shapes, st.sampled_from(TYPES), st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_unpacking_undoes_packing(shape: tuple[int, int], dtype: torch.dtype, seed: int) -> None:
    rows, columns = (n * least for n, least in zip(shape, multiples(dtype), strict=True))
    dense = matrix(rows, columns, dtype, 0.8, seed)
    values, meta = pack(dense)
    assert values.numel() * 2 == dense.numel()
    assert torch.equal(bits(unpack(values, meta)), bits(dense))


def test_metadata_of_float32_is_that_of_the_same_places_in_float16() -> None:
    dense = matrix(64, 128, torch.float32, 1.0, 0)
    assert torch.equal(pack(dense)[1], pack((dense != 0).half())[1])


def test_a_kept_zero_keeps_its_place_and_its_sign() -> None:
    dense = torch.zeros(32, 64)
    dense[3, 5] = -0.0
    kept = torch.zeros(32, 64, dtype=torch.bool)
    kept[3, 5] = True
    assert torch.equal(bits(unpack(*pack(dense, kept))), bits(dense))


def test_a_known_word() -> None:
    """Of [0, 0, 1, 1] everywhere torch documents the metadata -4370: places 2 and 3, 0b1110."""
    dense = torch.tensor([0.0, 0.0, 1.0, 1.0]).repeat(32, 16).half()
    values, meta = pack(dense)
    assert (meta == -4370).all()
    assert (values == 1).all()


@pytest.mark.parametrize("dtype", TYPES)
def test_three_of_four_are_refused_where_torch_drops_one(dtype: torch.dtype) -> None:
    rows, columns = multiples(dtype)
    dense = torch.zeros(rows, columns, dtype=dtype)
    dense[9, 21:24] = 1
    with pytest.raises(NotTwoOfFour, match="row 9 keeps more than two of columns 20 to 23"):
        pack(dense)
    if dtype in TORCH_TYPES:
        packed = torchs.sparse_semi_structured_from_dense_cutlass(dense)
        assert int((torchs.sparse_semi_structured_to_dense_cutlass(*packed) != 0).sum()) == 2


@pytest.mark.parametrize("shape", [(31, 64), (32, 48), (0, 64)])
def test_other_shapes_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(NotTwoOfFour, match=f"{shape[0]}×{shape[1]} is no multiple of 32×32"):
        pack(torch.zeros(shape))
    with pytest.raises(NotTwoOfFour, match="2 dimensions, not 3"):
        pack(torch.zeros(32, 32, 4))
