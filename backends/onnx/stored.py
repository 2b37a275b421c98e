"""The prunable layers of a model file, however their weights are stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lottoc.backends.onnx.notes import LayerNote
from lottoc.backends.onnx.representation import Found
from lottoc.backends.onnx.structure.decode import find_grouped
from lottoc.backends.onnx.swap import CORE, swapped_weights
from lottoc.frontends.onnx_file import OnnxFile
from lottoc.frontends.onnx_layers import LayerFinder, Weight


@dataclass(frozen=True)
class StoredLayer:
    """A layer of a file; `rows` is the number of rows a group has if it is stored in groups."""

    weight: Weight
    found: Found
    rows: int = 0


def found_weights(file: OnnxFile) -> dict[str, Found]:
    """Every weight of a file that some representation can decode, by the name of its value."""
    from lottoc.backends.onnx import FORMATS, narrow

    found = {w.stored.name: w for load in FORMATS.values() for w in load().find(file)}
    for name in [name for name, item in found.items() if item.representation == "narrow"]:
        found.pop(name + narrow.NUMBERS, None)  # of a floating type, it looks like a weight
    for name, item in swapped_weights(file, found).items():
        found.pop(name + CORE)
        found[name] = item
    return found


def stored_layers(file: OnnxFile, notes: list[LayerNote] | None) -> Iterator[StoredLayer]:
    """In network order; grouped layers are those that were grouped, as far as notes tell.

    Raises `Damaged` for a file against its notes.
    """
    found = found_weights(file)
    grouped = find_grouped(file, notes or (), found)
    weights, _ = LayerFinder(file, {name: item.stored for name, item in found.items()}).find()
    for weight in weights:
        group = grouped.get(weight.stored.name)
        if group is None:
            yield StoredLayer(weight, found[weight.stored.name])
        else:
            yield StoredLayer(group.weight, group.found, group.rows)
