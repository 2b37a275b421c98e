"""What an adapter holds, tensor by tensor, as `lottoc inspect` shows it."""

from __future__ import annotations

from pathlib import Path

from lottoc.adapters.file import load
from lottoc.backends.onnx.contents import InspectedLayer
from lottoc.signature import Layer


def inspect(path: Path) -> list[InspectedLayer]:
    """The layers that it changes; kept is what moves. Raises `InputError` as `load` does."""
    return [
        InspectedLayer(
            Layer(
                name.removesuffix(".weight"),
                "linear" if len(change.mask.shape) == 2 else "conv",
                change.mask.shape,
                change.dtype,
            ),
            "xor",
            change.mask.kept,
            "unstructured",
            change.nbytes,
            change.dtype,
            0.0,
        )
        for name, change in load(path).changes.items()
    ]
