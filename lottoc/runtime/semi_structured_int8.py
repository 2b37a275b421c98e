"""`lottoc::semi_structured_linear_int8`: a linear layer of 2:4 weights in int8.

    y = scale_x · (q_x @ q_wᵀ) · scale_w + bias

Weights have a scale for each output. Activations are rounded to int8 as well, each row with a scale
of its own, max|x| / 127, because that is what sparse tensor cores multiply; sums are exact. On a
CPU the weight is unpacked when it is first used, and sums are the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from lottoc.runtime.kept import Kept
from lottoc.runtime.semi_structured import kernels_for, to_dense
from lottoc.runtime.two_of_four import unpack

LARGEST = 127
_EXACT = (1 << 24) // LARGEST**2
"""Products of two int8 whose sum a float32 holds exactly."""
_ROWS = 16
"""Kernels take so many rows of activations, or a multiple."""

_kept = Kept()
library: Any = torch.library
check: Any = torch._check

library.define(
    "lottoc::semi_structured_linear_int8",
    "(Tensor x, Tensor values, Tensor meta, Tensor scales, Tensor? bias, int rows, int columns)"
    " -> Tensor",
)


def quantized(numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """int8 [rows, columns] and float32 scales [rows]: max|x| / 127 of each row, 1 where that is 0.

    Each number is the nearest multiple, ties to even.
    """
    wide = numbers.float()
    scales = wide.abs().amax(1) / LARGEST if wide.shape[1] else wide.new_zeros(len(wide))
    scales = torch.where(scales > 0, scales, torch.ones_like(scales))
    rounded = (wide / scales[:, None]).round().clamp(-LARGEST, LARGEST)
    return rounded.to(torch.int8), scales


def _sums_on_cpu(
    x: torch.Tensor, values: torch.Tensor, meta: torch.Tensor, rows: int, columns: int
) -> torch.Tensor:
    """x @ weightᵀ for int8 `x`, exact, as int32."""
    weight = _kept.get(
        values, (rows, columns), lambda: to_dense(values, meta, rows, columns).float()
    )
    total = torch.zeros(len(x), rows, dtype=torch.int32, device=x.device)
    for start in range(0, columns, _EXACT):
        some = slice(start, start + _EXACT)
        total += functional.linear(x[:, some].float(), weight[:, some]).to(torch.int32)
    return total


def _sums_on_gpu(
    x: torch.Tensor, values: torch.Tensor, meta: torch.Tensor, rows: int, columns: int
) -> torch.Tensor:
    chosen = kernels_for(x, values)
    if chosen == "dense":
        weight = _kept.get(
            values, (rows, columns), lambda: to_dense(values, meta, rows, columns).double()
        )
        return functional.linear(x.double(), weight).to(torch.int32)
    padding = (0, 2 * values.shape[1] - columns, 0, -len(x) % _ROWS)
    turned = functional.pad(x, padding).t()
    own: Any = torch
    if chosen == "cutlass":
        sums = own._sparse_semi_structured_mm(values, meta, turned, out_dtype=torch.int32)
    else:
        packed = _kept.get(values, chosen, lambda: own._cslt_compress(unpack(values, meta)))
        sums = own._cslt_sparse_mm(packed, turned, out_dtype=torch.int32)
    found: torch.Tensor = sums[:rows, : len(x)].t()
    return found


def _linear(
    x: torch.Tensor,
    values: torch.Tensor,
    meta: torch.Tensor,
    scales: torch.Tensor,
    bias: torch.Tensor | None,
    rows: int,
    columns: int,
) -> torch.Tensor:
    flat, scale = quantized(x.reshape(-1, columns))
    sums = (_sums_on_gpu if x.is_cuda else _sums_on_cpu)(flat, values, meta, rows, columns)
    out = sums.float() * scale[:, None] * scales
    out = out if bias is None else out + bias.float()
    return out.to(x.dtype).reshape(*x.shape[:-1], rows).contiguous()


def _shape(
    x: torch.Tensor,
    values: torch.Tensor,
    meta: torch.Tensor,
    scales: torch.Tensor,
    bias: torch.Tensor | None,
    rows: int,
    columns: int,
) -> torch.Tensor:
    check(x.shape[-1] == columns, lambda: f"x has {x.shape[-1]} columns, not {columns}")
    check(values.dtype == torch.int8, lambda: f"the weight is {values.dtype}, not int8")
    return x.new_empty((*x.shape[:-1], rows))


def _remember(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    _, values, meta, scales, bias, rows, columns = inputs
    ctx.save_for_backward(values, meta, scales)
    ctx.rows, ctx.columns, ctx.has_bias = rows, columns, bias is not None


def _backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    """Rounding of activations is passed by, as quantization is trained through."""
    values, meta, scales = ctx.saved_tensors
    dense = torch.ops.lottoc.semi_structured_to_dense(values, meta, ctx.rows, ctx.columns)
    weight = (dense.float() * scales[:, None]).to(gradient.dtype)
    bias = gradient.reshape(-1, ctx.rows).sum(0) if ctx.has_bias else None
    return gradient @ weight, None, None, None, bias, None, None


library.impl("lottoc::semi_structured_linear_int8", ("cpu", "cuda"), _linear)
library.register_fake("lottoc::semi_structured_linear_int8", _shape)
library.register_autograd("lottoc::semi_structured_linear_int8", _backward, setup_context=_remember)
