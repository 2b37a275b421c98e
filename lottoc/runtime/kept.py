"""What an operator makes of a stored weight, made once and kept as long as the weight lives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.weak import WeakTensorKeyDictionary


class Kept:
    """Results by the tensor that they were made from; made anew once it has been written to."""

    def __init__(self) -> None:
        self._made: Any = WeakTensorKeyDictionary()

    def get(self, tensor: torch.Tensor, kind: Any, make: Callable[[], Any]) -> Any:
        """The result of `make()`, which depends on `tensor` and on `kind` alone."""
        if tensor.is_inference():
            return make()  # such tensors do not tell when they are written to
        version, of_kind, made = self._made.get(tensor, (-1, None, None))
        if version != tensor._version or of_kind != kind:
            made = make()
            self._made[tensor] = (tensor._version, kind, made)
        return made
