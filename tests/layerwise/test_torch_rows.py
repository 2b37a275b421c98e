"""Convolutions as products of a matrix with rows of patches."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lottoc.layerwise.matrix import as_matrix, as_weight, per_input
from lottoc.layerwise.torch_rows import rows_of

KERNELS = st.integers(1, 3)


@given(
    st.sampled_from([nn.Conv1d, nn.Conv2d, nn.Conv3d]),
    st.lists(KERNELS, min_size=3, max_size=3),
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from(["zeros", "reflect", "circular", "same"]),
    st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_a_convolution_is_a_product_with_its_rows(
    make: type[nn.Module], kernel: list[int], stride: int, dilation: int, mode: str, seed: int
) -> None:
    torch.manual_seed(seed)
    dims = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}[make]
    options = {"dilation": dilation, "bias": False}
    if mode == "same":
        options |= {"padding": "same"}
    else:
        options |= {"padding": 1, "padding_mode": mode, "stride": stride}
    conv = make(4, 5, tuple(kernel[:dims]), **options).double()
    x = torch.randn(3, 4, *(7, 6, 5)[:dims]).double()
    with torch.no_grad():
        expected = conv(x)
        rows = np.concatenate(list(rows_of(conv, x))).astype(np.float64)
    actual = rows @ as_matrix(conv.weight.detach().numpy()).T
    actual = actual.reshape(3, *expected.shape[2:], 5)
    np.testing.assert_allclose(np.moveaxis(actual, -1, 1), expected, rtol=1e-4, atol=1e-5)


@given(st.lists(st.integers(1, 4), min_size=2, max_size=5))
def test_matrices_of_weights_and_back(shape: list[int]) -> None:
    weight = np.arange(np.prod(shape)).reshape(shape)
    matrix = as_matrix(weight)
    assert matrix.shape == (shape[0], weight.size // shape[0])
    np.testing.assert_array_equal(as_weight(matrix, tuple(shape)), weight)
    np.testing.assert_array_equal(per_input(matrix[0], tuple(shape)), weight[0])
    if len(shape) > 2:  # channels of one place are neighbours
        np.testing.assert_array_equal(matrix[:, : shape[1]], weight[:, :, *[0] * len(shape[2:])])
