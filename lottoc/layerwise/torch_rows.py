"""What a torch layer multiplies its weight with, as rows of a matrix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NUMBERS = 1 << 23
"""Numbers of an unfolded input that are in memory at a time, unless one example has more."""


def rows_of(part: nn.Module, x: torch.Tensor) -> Iterator[NDArray[np.float32]]:
    """[rows, in] of a linear layer; [rows, places · in] of a convolution, in parts.

    A convolution is the product of its weight, as `lottoc.layerwise.matrix` has it, with the
    patches of its input, a row each.
    """
    if not isinstance(part, CONVOLUTIONS):
        yield x.reshape(-1, x.shape[-1]).float().numpy()
        return
    conv: Any = part
    if x.dim() == len(conv.kernel_size) + 1:
        x = x[None]
    size = x[0].numel() * int(np.prod(conv.kernel_size))
    for some in torch.split(x, max(1, _NUMBERS // max(1, size))):
        yield _patches(conv, some.float()).numpy()


def geometry(part: nn.Module) -> tuple[Any, ...]:
    """Layers of equal geometry make equal rows of an equal input."""
    if not isinstance(part, CONVOLUTIONS):
        return ()
    conv: Any = part
    return conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.padding_mode


def _patches(conv: Any, x: torch.Tensor) -> torch.Tensor:
    mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
    x = functional.pad(x, conv._reversed_padding_repeated_twice, mode=mode)
    sizes = zip(conv.kernel_size, conv.stride, conv.dilation, strict=True)
    for axis, (kernel, stride, dilation) in enumerate(sizes, start=2):
        x = x.unfold(axis, dilation * (kernel - 1) + 1, stride)[..., ::dilation]
    spatial = len(conv.kernel_size)
    # [n, in, *places out, *kernel] → [n, *places out, *kernel, in]
    order = [0, *range(2, 2 + 2 * spatial), 1]
    return x.permute(order).reshape(-1, x.shape[1] * int(np.prod(conv.kernel_size)))
