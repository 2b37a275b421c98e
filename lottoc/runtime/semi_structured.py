"""`lottoc::semi_structured_linear`: a linear layer whose weight is stored 2:4.

On a CPU the weight is unpacked when it is first used, and the layer is the dense one. On a GPU with
sparse tensor cores it is given to torch's own kernels: CUTLASS on compute capability 8, which reads
the stored form as it is, else cuSPARSELt, which stores it anew in its own.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch.nn import functional

from lottoc.runtime.kept import Kept
from lottoc.runtime.two_of_four import unpack

ON_SPARSE_CORES = (torch.float16, torch.bfloat16, torch.int8)
"""Types of activations and weights that the GPU's sparse kernels take here."""

kernels = "auto"
"""`auto`, `cutlass`, `cusparselt` or `dense`: what runs on a GPU."""

_kept = Kept()
library: Any = torch.library
check: Any = torch._check

library.define(
    "lottoc::semi_structured_linear",
    "(Tensor x, Tensor values, Tensor meta, Tensor? bias, int rows, int columns) -> Tensor",
)
library.define(
    "lottoc::semi_structured_to_dense",
    "(Tensor values, Tensor meta, int rows, int columns) -> Tensor",
)


def to_dense(values: torch.Tensor, meta: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """The weight [rows, columns] without what it was padded with."""
    return unpack(values, meta)[:rows, :columns].contiguous()


def _dense(values: torch.Tensor, meta: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    dense: torch.Tensor = _kept.get(
        values, (rows, columns), lambda: to_dense(values, meta, rows, columns)
    )
    return dense


def _on_cpu(
    x: torch.Tensor,
    values: torch.Tensor,
    meta: torch.Tensor,
    bias: torch.Tensor | None,
    rows: int,
    columns: int,
) -> torch.Tensor:
    return functional.linear(x, _dense(values, meta, rows, columns), bias)


def _on_gpu(
    x: torch.Tensor,
    values: torch.Tensor,
    meta: torch.Tensor,
    bias: torch.Tensor | None,
    rows: int,
    columns: int,
) -> torch.Tensor:
    chosen = kernels_for(x, values)
    if chosen == "dense":
        return functional.linear(x, _dense(values, meta, rows, columns), bias)
    weight = _kept.get(values, chosen, lambda: sparse_weight(chosen, values, meta))
    return padded_linear(x, weight, bias, rows)


def kernels_for(x: torch.Tensor, values: torch.Tensor) -> str:
    """Which of torch's kernels run a layer on the GPU that `x` lies on."""
    if x.dtype != values.dtype or values.dtype not in ON_SPARSE_CORES:
        return "dense"
    major, _ = torch.cuda.get_device_capability(x.device)
    if major < 8 or kernels != "auto":
        return "dense" if major < 8 else kernels
    return "cutlass" if major == 8 else "cusparselt"


def sparse_weight(chosen: str, values: torch.Tensor, meta: torch.Tensor) -> torch.Tensor:
    """The padded weight as one of torch's semi-structured tensors."""
    sparse: Any = torch.sparse
    made: torch.Tensor
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that such tensors are a prototype
        if chosen == "cusparselt":
            made = sparse.SparseSemiStructuredTensorCUSPARSELT.from_dense(unpack(values, meta))
        else:
            made = sparse.SparseSemiStructuredTensorCUTLASS(
                torch.Size((len(values), 2 * values.shape[1])),
                packed=values,
                meta=meta,
                packed_t=None,
                meta_t=None,
                compressed_swizzled_bitmask=None,
                requires_grad=False,
            )
    return made


def padded_linear(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, rows: int
) -> torch.Tensor:
    """`x` [..., columns] through a weight that has been padded, without the rows that it added."""
    padded_rows, padded_columns = weight.shape
    flat = x.reshape(-1, x.shape[-1])
    if padded_columns != x.shape[-1]:
        flat = functional.pad(flat, (0, padded_columns - x.shape[-1]))
    if bias is not None and padded_rows != rows:
        bias = functional.pad(bias, (0, padded_rows - rows))
    out = functional.linear(flat, weight, bias)
    return out[:, :rows].reshape(*x.shape[:-1], rows).contiguous()


def _shape(
    x: torch.Tensor,
    values: torch.Tensor,
    meta: torch.Tensor,
    bias: torch.Tensor | None,
    rows: int,
    columns: int,
) -> torch.Tensor:
    check(x.shape[-1] == columns, lambda: f"x has {x.shape[-1]} columns, not {columns}")
    check(x.dtype == values.dtype, lambda: f"x is {x.dtype}, the weight {values.dtype}")
    return x.new_empty((*x.shape[:-1], rows))


def _unpacked(values: torch.Tensor, meta: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    return _dense(values, meta, rows, columns).clone()  # an operator may not give what it keeps


def _unpacked_shape(
    values: torch.Tensor, meta: torch.Tensor, rows: int, columns: int
) -> torch.Tensor:
    return values.new_empty((rows, columns))


def _remember(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    _, values, meta, bias, rows, columns = inputs
    ctx.save_for_backward(values, meta)
    ctx.rows, ctx.columns, ctx.has_bias = rows, columns, bias is not None


def _backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    """The weight is not trained; gradients pass through to what lies before the layer."""
    values, meta = ctx.saved_tensors
    dense = torch.ops.lottoc.semi_structured_to_dense(values, meta, ctx.rows, ctx.columns)
    bias = gradient.reshape(-1, ctx.rows).sum(0) if ctx.has_bias else None
    return gradient @ dense, None, None, bias, None, None


library.impl("lottoc::semi_structured_linear", "cpu", _on_cpu)
library.impl("lottoc::semi_structured_linear", "cuda", _on_gpu)
library.register_fake("lottoc::semi_structured_linear", _shape)
library.impl("lottoc::semi_structured_to_dense", ("cpu", "cuda"), _unpacked)
library.register_fake("lottoc::semi_structured_to_dense", _unpacked_shape)
library.register_autograd("lottoc::semi_structured_linear", _backward, setup_context=_remember)
