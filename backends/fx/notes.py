"""What lottoc notes in a file about each layer, so that the file can be checked on its own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import lottoc
from lottoc.backends.fx.network import WHOLE, Cut
from lottoc.signature import Layer, LayerKind


@dataclass(frozen=True)
class LayerNote:
    """A layer, how it is stored, how many weights are kept, and under which name they are.

    `kept` is -1 for a layer without a mask. `rounding` is the relative error that narrower values
    brought. `cut` says which rows and columns of the model's own weight are left.
    """

    layer: Layer
    format: str
    kept: int
    stored: str
    rounding: float = 0.0
    cut: Cut = WHOLE
    values: str = ""
    """The type of what is stored, where it is narrower than the layer's."""

    @staticmethod
    def dense(layer: Layer, stored: str, cut: Cut = WHOLE) -> LayerNote:
        """A note of a layer without a mask."""
        return LayerNote(layer, "dense", -1, stored, 0.0, cut)


def write_notes(notes: Iterable[LayerNote], changed: Iterable[str] = ()) -> str:
    """The text to be kept in the file; it holds no time and no path.

    `changed` are the names of tensors that lost numbers of units that left, or took their sums.
    """
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
            "rows": note.cut.rows,
            "columns": note.cut.columns,
            "values": note.values,
        }
        for note in notes
    ]
    content = {"version": lottoc.__version__, "layers": layers, "changed": sorted(changed)}
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
    values = plain.get("values", "")
    if not isinstance(rounding, float) or not isinstance(values, str):
        raise TypeError("rounding")
    cut = Cut(*(_places(plain.get(key)) for key in ("rows", "columns")))
    kind = cast(LayerKind, plain["kind"])
    layer = Layer(plain["name"], kind, tuple(shape), plain["dtype"])
    return LayerNote(layer, plain["format"], kept, plain["stored"], rounding, cut, values)


def _places(plain: Any) -> tuple[int, ...] | None:
    if plain is None:
        return None
    if not isinstance(plain, list) or not all(type(place) is int for place in plain):
        raise TypeError("rows or columns")
    return tuple(plain)


def changed_tensors(content: dict[str, Any]) -> frozenset[str]:
    """Names of tensors that are not as the model has them, because units have left."""
    return frozenset(map(str, content.get("changed", ())))
