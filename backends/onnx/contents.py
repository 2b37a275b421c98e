"""Says what an ONNX file holds, layer by layer: the artefact of a recipe or any other model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx.notes import DamagedNotes, LayerNote, read_notes
from lottoc.backends.onnx.stored import stored_layers
from lottoc.backends.onnx.values import NAMES
from lottoc.frontends.onnx_file import OnnxFile
from lottoc.frontends.onnx_layers import Weight
from lottoc.frontends.protobuf import Damaged
from lottoc.signature import Layer

GROUPS = (4, 8, 16, 32)
"""Group sizes M that N:M patterns are looked for in, as hardware has them."""


@dataclass(frozen=True)
class InspectedLayer:
    """A layer as a file stores it.

    `pattern` is `groups(ROWS)` if rows are stored in groups, else the tightest N:M (N of every M
    consecutive inputs kept at most) that holds, or `unstructured`, or `dense` without any zeros.
    `nbytes` counts the stored numbers and positions. `values` is the type of those numbers,
    `rounding` the relative error that it brought and `activations` the type that the layer
    multiplies in, empty if its own, as noted in the file.
    """

    layer: Layer
    format: str
    nonzeros: int
    pattern: str
    nbytes: int
    values: str
    rounding: float
    activations: str = ""

    @property
    def sparsity(self) -> float:
        """Fraction of weights that are zero."""
        return 1 - self.nonzeros / self.layer.size


def inspect(path: Path) -> list[InspectedLayer]:
    """The prunable layers of a model file, in network order, read one at a time.

    Raises `InputError` as `open_onnx` does.
    """
    file = OnnxFile(Path(path))
    with file.damage_is_an_error():
        return list(_inspect(file))


def _inspect(file: OnnxFile) -> Iterator[InspectedLayer]:
    notes = _notes(file)
    noted = {note.layer: note for note in notes or ()}
    for layer in stored_layers(file, notes):
        found, weight = layer.found, layer.weight
        nonzero = _canonical(found.value(), weight) != 0
        kept = int(np.count_nonzero(nonzero))
        pattern = f"groups({layer.rows})" if layer.rows else find_pattern(nonzero)
        pattern = "dense" if kept == nonzero.size else pattern
        note = noted.get(weight.layer.name)
        yield InspectedLayer(
            weight.layer,
            found.representation,
            kept,
            pattern,
            found.nbytes,
            NAMES[found.value_type],
            note.rounding if note is not None else 0.0,
            note.activations if note is not None else "",
        )


def _notes(file: OnnxFile) -> list[LayerNote] | None:
    try:
        return read_notes(file)
    except DamagedNotes as error:
        raise Damaged("what lottoc noted in the file is damaged") from error


def _canonical(stored: NDArray[np.generic], weight: Weight) -> NDArray[np.generic]:
    return stored.T if weight.transposed else stored


def find_pattern(mask: NDArray[np.bool_]) -> str:
    """The N:M of smallest density that holds along axis 1 of a canonical mask, the least M first.

    A mask without any kept weight is `unstructured`: it holds every pattern and means none.
    """
    best, density = "unstructured", 1.0
    rows = np.moveaxis(mask, 1, -1)
    for group in GROUPS:
        if rows.shape[-1] % group:
            continue
        counts = rows.reshape(*rows.shape[:-1], -1, group).sum(-1, dtype=np.int16)
        most = int(counts.max(initial=0))
        if 0 < most < group and most / group < density:
            best, density = f"{most}:{group}", most / group
    return best
