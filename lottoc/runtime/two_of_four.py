"""2:4 weights as values and metadata, in the layout that NVIDIA's sparse tensor cores read.

Of every four neighbours in a row two are stored, together with their places, two bits each. The
layout of the metadata is that of CUTLASS (`ColumnMajorInterleaved<2>`), which is also that of
`torch.sparse.SparseSemiStructuredTensorCUTLASS`; here it is one transpose, and it needs no GPU.
"""

from __future__ import annotations

import torch

_PLACES = (
    *((2, 3), (0, 2), (1, 2), (0, 1), (2, 3), (0, 2), (1, 2), (0, 0)),
    *((2, 3), (0, 3), (1, 3), (0, 0), (2, 3), (0, 0), (0, 0), (0, 0)),
)
"""Which two of four are stored, by which are kept (the first is bit 0); (0, 0) keeps too many.

Where fewer than two are kept, the others are those that torch takes.
"""


class NotTwoOfFour(ValueError):
    """A matrix keeps more than two of four neighbours, or has a shape that cannot be packed."""


def multiples(dtype: torch.dtype) -> tuple[int, int]:
    """What the rows and columns of a packed matrix are multiples of, as CUTLASS asks."""
    return (16, 128) if dtype.itemsize == 1 else (32, 64)


def first_excess(kept: torch.Tensor) -> tuple[int, int] | None:
    """The (row, first column) of four neighbours that keep more than two; None if none do."""
    rows, columns = kept.shape
    excess = kept.view(rows, columns // 4, 4).sum(-1, dtype=torch.uint8) > 2
    if not bool(excess.any()):
        return None
    row, quad = divmod(int(excess.flatten().to(torch.uint8).argmax()), columns // 4)
    return row, 4 * quad


def pack(
    dense: torch.Tensor, kept: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Values [m, k / 2] and metadata [m, k / 16] (int16; of int8 [m, k / 32], int32).

    `dense` [m, k] is a matrix of any type of 1, 2, 4 or 8 bytes, with m and k as `multiples` says;
    `kept` is True where a value is to be stored, by default where it is not zero. Raises
    `NotTwoOfFour`, unlike torch, which drops what is too much.
    """
    if dense.dim() != 2:
        raise NotTwoOfFour(f"a matrix has 2 dimensions, not {dense.dim()}")
    (rows, columns), (least_rows, least_columns) = dense.shape, multiples(dense.dtype)
    # the sparse kernels take no less, but the layout itself needs half the columns
    if rows % least_rows or columns % (least_columns // 2) or not dense.numel():
        raise NotTwoOfFour(
            f"{rows}×{columns} is no multiple of {least_rows}×{least_columns // 2} ({dense.dtype})"
        )
    kept = dense != 0 if kept is None else kept
    excess = first_excess(kept)
    if excess is not None:
        row, column = excess
        raise NotTwoOfFour(f"row {row} keeps more than two of columns {column} to {column + 3}")
    quads = kept.view(rows, columns // 4, 4).to(torch.uint8)
    patterns = quads[..., 0] | quads[..., 1] << 1 | quads[..., 2] << 2 | quads[..., 3] << 3
    places = torch.tensor(_PLACES, device=dense.device)[patterns.int()]
    four = torch.where(kept, dense, torch.zeros((), dtype=dense.dtype, device=dense.device))
    values = four.view(rows, columns // 4, 4).gather(2, places).view(rows, columns // 2)
    return values, _meta(places, dense.dtype)


def unpack(values: torch.Tensor, meta: torch.Tensor) -> torch.Tensor:
    """The dense matrix [m, k] of what `pack` made."""
    rows, half = values.shape
    places = _places(meta, half // 2)
    dense = values.new_zeros(rows, half // 2, 4)
    dense.scatter_(2, places, values.view(rows, half // 2, 2))
    return dense.view(rows, 2 * half)


def _meta(places: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Places [m, k / 4, 2] as four bits a pair, in the order that the hardware reads."""
    kind = torch.int32 if dtype.itemsize == 1 else torch.int16
    pairs = 2 * kind.itemsize
    codes = (places[..., 0] | places[..., 1] << 2).view(len(places), -1, pairs)
    shifts = torch.arange(0, 4 * pairs, 4, device=places.device)
    words = (codes << shifts).sum(-1)  # int64: the highest bit is no sign yet
    words = torch.where(
        words >= 1 << (8 * kind.itemsize - 1), words - (1 << 8 * kind.itemsize), words
    )
    return _ordered(words.to(kind))


def _places(meta: torch.Tensor, quads: int) -> torch.Tensor:
    words = _in_order(meta).long()
    shifts = torch.arange(0, 8 * meta.dtype.itemsize, 2, device=meta.device)
    return ((words.unsqueeze(-1) >> shifts) & 3).view(len(meta), quads, 2)


def _ordered(words: torch.Tensor) -> torch.Tensor:
    """Words as the hardware reads them: by pairs of columns, and within these by eights of rows.

    Row 8a + b of 32 (of 16, for int32) goes to row 4b + a (2b + a), each 2×2 block is transposed,
    and the result is stored by pairs of columns.
    """
    rows, columns = words.shape
    high = 2 if words.dtype == torch.int16 else 1
    view = words.view(-1, high, 2, 8, columns // 2, 2)  # [block, a high, a low, b, pair, odd]
    return view.permute(4, 0, 3, 1, 5, 2).reshape(rows, columns)


def _in_order(meta: torch.Tensor) -> torch.Tensor:
    """The words of `_ordered` by rows and columns again."""
    rows, columns = meta.shape
    high = 2 if meta.dtype == torch.int16 else 1
    view = meta.reshape(columns // 2, -1, 8, high, 2, 2)
    return view.permute(1, 3, 5, 2, 0, 4).reshape(rows, columns)
