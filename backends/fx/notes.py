"""What lottoc notes in a file about each layer, so that the file can be checked on its own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import lottoc
from lottoc.signature import Layer, LayerKind


@dataclass(frozen=True)
class LayerNote:
    """A layer, how it is stored, how many weights are kept, and under which name they are.

    `kept` is -1 for a layer without a mask. `rounding` is the relative error that narrower values
    brought.
    """

    layer: Layer
    format: str
    kept: int
    stored: str
    rounding: float = 0.0

    @staticmethod
    def dense(layer: Layer, stored: str) -> LayerNote:
        """A note of a layer without a mask."""
        return LayerNote(layer, "dense", -1, stored)


def write_notes(notes: Iterable[LayerNote]) -> str:
    """The text to be kept in the file; it holds no time and no path."""
    layers = [
        {
            "name": note.layer.name,
            "kind": note.layer.kind,
            "shape": list(note.layer.shape),
            "dtype": note.layer.dtype,
            "format": note.format,
            "kept": note.kept,
            "stored": note.stored,
            "rounding": note.rounding,
        }
        for note in notes
    ]
    content = {"version": lottoc.__version__, "layers": layers}
    return json.dumps(content, separators=(",", ":"), sort_keys=True)


def read_notes(content: dict[str, Any]) -> list[LayerNote]:
    """The notes of a file; raises `ValueError` if they are not what lottoc writes."""
    try:
        return [_read(plain) for plain in content["layers"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("what lottoc noted in the file is damaged") from error


def _read(plain: dict[str, Any]) -> LayerNote:
    texts = [plain[key] for key in ("name", "kind", "dtype", "format", "stored")]
    shape, kept = plain["shape"], plain["kept"]
    numbers, rounding = [*shape, kept], plain["rounding"]
    if not all(isinstance(t, str) for t in texts) or not all(type(n) is int for n in numbers):
        raise TypeError("a note")
    if not isinstance(rounding, float):
        raise TypeError("rounding")
    kind = cast(LayerKind, plain["kind"])
    layer = Layer(plain["name"], kind, tuple(shape), plain["dtype"])
    return LayerNote(layer, plain["format"], kept, plain["stored"], rounding)
