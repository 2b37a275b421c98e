"""The masked dense model that an artefact is compared with: nearly all of it is the source file.

Only the graph and the masked weights are written; every other tensor is external data that lies
in the source model's own files, which onnxruntime maps without copying.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lottoc.backends.onnx import dense
from lottoc.backends.onnx.pieces import Piece, write
from lottoc.backends.onnx.pruned import Content, masked_weight
from lottoc.backends.onnx.rewrite import ALIGNMENT, Rewrite
from lottoc.backends.onnx.run import Job
from lottoc.frontends.onnx_tensor import Extent

MASKED = "masked.data"


@dataclass(frozen=True)
class _SourceFiles:
    """External data relative to `root`: ranges of the source stay, fresh numbers are written."""

    root: Path
    masked: Path
    stream: BinaryIO

    def place(self, payload: Piece) -> tuple[str, int]:
        if isinstance(payload, Extent):
            return str(payload.path.resolve().relative_to(self.root)), payload.offset
        self.stream.write(bytes(-self.stream.tell() % ALIGNMENT))
        offset = self.stream.tell()
        write([payload], self.stream)
        return str(self.masked.relative_to(self.root)), offset


def write_reference(content: Content, folder: Path) -> Job:
    """Write the masked dense model into `folder` and return the job that runs it."""
    model, folder = content.model, folder.resolve()
    parts = {}
    for name, weight in model.weights.items():
        if content.mask(name) is not None or content.has_new(name):
            whole = masked_weight(content, weight, 0, weight.stored.data_type)
            parts[weight.stored.name] = dense.encode(whole)
    files = [t.extent.path.resolve() for t in model.file.tensors() if t.extent]
    root = Path(os.path.commonpath([folder, *files]))
    graph = folder / "reference.onnx"
    with (
        model.file.damage_is_an_error(),
        open(folder / MASKED, "wb") as data,
        open(graph, "wb") as stream,
    ):
        outside = _SourceFiles(root, folder / MASKED, data)
        write(Rewrite(model.file, parts, outside=outside).pieces(), stream)
    return Job(str(graph), str(folder), "expected", "make-up", data=str(root))
