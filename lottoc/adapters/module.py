"""Adapters on a torch module in memory, as where one network serves several tasks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lottoc.adapters.applied import plan
from lottoc.training.module import named_tensors, to_array, to_tensor

Paths = str | os.PathLike[str]


def move(module: Any, *adapters: Paths, back: bool = False) -> None:
    """Apply adapters to a module's parameters in place, or take them back; all of them or none.

    Raises `InputError`: adapter-invalid, adapter-mismatch, model-not-found.
    """
    import torch

    named = named_tensors(module)
    steps = plan([Path(path) for path in adapters], named, back=back)
    changed = {name: steps.tensor(name, to_array(named[name])) for name in steps.steps}
    with torch.no_grad():
        for name, array in changed.items():
            named[name].copy_(to_tensor(array))
