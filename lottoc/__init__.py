"""A declarative mask-compiler for neural networks.

Importing this package loads neither torch nor onnxruntime; each is imported where it is first used.
"""

from __future__ import annotations

import os
from typing import Any

__version__ = "0.1.0"


def load(path: str | os.PathLike[str], device: Any = None) -> Any:
    """The model of a compiled `.pt2` file as a torch module; see `lottoc.runtime.load`."""
    from lottoc.runtime import load as load_program

    return load_program(path, device)
