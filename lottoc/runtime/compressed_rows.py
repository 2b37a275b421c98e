"""`lottoc::csr_linear`: a linear layer that computes with the kept weights alone, on a CPU.

The weight is stored in compressed rows (CSR): where each row begins, the column and the value of
each kept weight. torch multiplies it with the transposed batch by MKL's sparse kernels.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch

from lottoc.runtime.kept import Kept

_kept = Kept()
library: Any = torch.library
check: Any = torch._check

library.define(
    "lottoc::csr_linear",
    "(Tensor x, Tensor starts, Tensor places, Tensor values, Tensor? bias, int columns) -> Tensor",
)
library.define(
    "lottoc::csr_to_dense",
    "(Tensor starts, Tensor places, Tensor values, int columns) -> Tensor",
)


def _matrix(
    starts: torch.Tensor, places: torch.Tensor, values: torch.Tensor, columns: int
) -> torch.Tensor:
    """The weight [rows, columns] as a tensor of torch's own."""
    size = (len(starts) - 1, columns)

    def make() -> torch.Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that such tensors are in beta
            return torch.sparse_csr_tensor(starts, places, values, size, check_invariants=False)

    matrix: torch.Tensor = _kept.get(values, columns, make)
    return matrix


def _linear(
    x: torch.Tensor,
    starts: torch.Tensor,
    places: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    columns: int,
) -> torch.Tensor:
    flat = x.reshape(-1, columns)
    out = (_matrix(starts, places, values, columns) @ flat.t()).t()
    out = out if bias is None else out + bias
    return out.reshape(*x.shape[:-1], len(starts) - 1).contiguous()


def _shape(
    x: torch.Tensor,
    starts: torch.Tensor,
    places: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    columns: int,
) -> torch.Tensor:
    check(x.shape[-1] == columns, lambda: f"x has {x.shape[-1]} columns, not {columns}")
    return x.new_empty((*x.shape[:-1], starts.shape[0] - 1))


def _dense(
    starts: torch.Tensor, places: torch.Tensor, values: torch.Tensor, columns: int
) -> torch.Tensor:
    return _matrix(starts, places, values, columns).to_dense()


def _dense_shape(
    starts: torch.Tensor, places: torch.Tensor, values: torch.Tensor, columns: int
) -> torch.Tensor:
    return values.new_empty((starts.shape[0] - 1, columns))


def _remember(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    _, starts, places, values, bias, columns = inputs
    ctx.save_for_backward(starts, places, values)
    ctx.columns, ctx.has_bias = columns, bias is not None


def _backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    """The weight is not trained; gradients pass through to what lies before the layer."""
    dense = torch.ops.lottoc.csr_to_dense(*ctx.saved_tensors, ctx.columns)
    bias = gradient.reshape(-1, len(dense)).sum(0) if ctx.has_bias else None
    return gradient @ dense, None, None, None, bias, None


library.impl("lottoc::csr_linear", ("cpu", "cuda"), _linear)
library.register_fake("lottoc::csr_linear", _shape)
library.impl("lottoc::csr_to_dense", ("cpu", "cuda"), _dense)
library.register_fake("lottoc::csr_to_dense", _dense_shape)
library.register_autograd("lottoc::csr_linear", _backward, setup_context=_remember)
