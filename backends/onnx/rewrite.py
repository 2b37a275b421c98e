"""Copies an ONNX model with some of its weights replaced, as pieces that are still to be written.

What is not replaced is taken over byte for byte as a range of the source file, fields that this
version does not know included. Dropped are the exporter's stack traces and notes, which hold
paths of the machine they were made on; the module names that layers are called by stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lottoc.backends.onnx.parts import NewTensor, external_data, sparse_constant, tensor_header
from lottoc.backends.onnx.pieces import Piece, entry, join, message, number, size
from lottoc.backends.onnx.representation import Parts
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_file import OnnxFile
from lottoc.frontends.onnx_tensor import Extent, Tensor, read_tensor
from lottoc.frontends.protobuf import BYTES, Field, Message

Copy = Callable[[Field], list[Piece]]

KEPT_NOTES = {"pkg.torch.onnx.name_scopes"}
_PATH = re.compile(rb"""File "|(^|[\s"'(=])(/\w|[A-Za-z]:\\)""")
ALIGNMENT = 64
SMALL = 1024
"""Bytes; smaller tensors stay in the model file."""


class Outside(Protocol):
    """Where the numbers of large tensors go that leave the model file."""

    def place(self, payload: Piece) -> tuple[str, int]:
        """Take a payload; its (location, offset) as external data."""


@dataclass
class DataFile:
    """One file beside the model, called `location`; `pieces` is what it holds."""

    location: str
    pieces: list[Piece] = field(default_factory=list)
    end: int = 0

    def place(self, payload: Piece) -> tuple[str, int]:
        """Append a payload at the next aligned offset."""
        offset = -(-self.end // ALIGNMENT) * ALIGNMENT
        self.pieces += [bytes(offset - self.end), payload]
        self.end = offset + size([payload])
        return self.location, offset


@dataclass
class Rewrite:
    """The new model file: `file` with the initializers in `parts` replaced.

    `outside` takes the large tensors if the model must be split, else everything is one file.
    """

    file: OnnxFile
    parts: Mapping[str, Parts]
    metadata: str = ""
    outside: Outside | None = None

    def pieces(self) -> list[Piece]:
        """The ModelProto."""
        pieces: list[Piece] = []
        for part in self.file.model.fields:
            if part.number == schema.Model.IR_VERSION:
                pieces.append(number(schema.Model.IR_VERSION, self._ir_version()))
            elif part.number == schema.Model.GRAPH:
                pieces += message(schema.Model.GRAPH, self._graph())
            elif part.number == schema.Model.FUNCTIONS:
                pieces += self._nested(part, {schema.Function.NODE: self._node})
            elif part.number == schema.Model.TRAINING:
                graphs = (schema.Training.INITIALIZATION, schema.Training.ALGORITHM)
                pieces += self._nested(part, dict.fromkeys(graphs, self._body))
            elif part.number != schema.Model.METADATA or self._key(part) != "lottoc":
                pieces.append(self._as_is(part))
        if self.metadata:
            pieces.append(entry(schema.Model.METADATA, "lottoc", self.metadata))
        return join(pieces)

    def _ir_version(self) -> int:
        """Initializers that are no inputs came with version 4, sparse ones with 6."""
        sparse = any(parts.sparse for parts in self.parts.values())
        needed = (6 if sparse else 4) if self.parts else 0
        return max(self.file.ir_version, needed)

    def _graph(self) -> list[Piece]:
        pieces: list[Piece] = []
        for parts in self.parts.values():
            pieces += [piece for sparse in parts.sparse for piece in sparse_constant(sparse)]
            pieces += [node.encode() for node in parts.nodes]
        for part in self.file.graph.fields:
            if part.number == schema.Graph.NODE:
                pieces += [] if self._is_replaced_constant(part) else self._node(part)
            elif part.number == schema.Graph.INITIALIZER:
                pieces += self._initializer(part)
            elif part.number == schema.Graph.METADATA:
                pieces += self._note(part)
            elif part.number != schema.Graph.INPUT or not self._is_fixed(part):
                pieces.append(self._as_is(part))
        for name, parts in self.parts.items():
            pieces += [] if name in self.file.initializers else self._new(parts)
        shared = {t.name: t for p in self.parts.values() for t in p.shared}
        for tensor in shared.values():
            pieces += self._tensor(tensor)
        return pieces

    def _is_replaced_constant(self, part: Field) -> bool:
        node = self._message(part)
        outputs = node.texts(schema.Node.OUTPUT)
        return node.text(schema.Node.OP_TYPE) == "Constant" and outputs[0] in self.parts

    def _is_fixed(self, part: Field) -> bool:
        """Whether a graph input is the default of a weight that is now fixed.

        Version 3 of the format lists every initializer as an input; from 4 on that would make
        them defaults a caller may override, so none may stay when the version is raised.
        """
        name = self._message(part).text(1)
        raised = self.file.ir_version < 4 <= self._ir_version()
        return name in self.parts or (raised and name in self.file.initializers)

    def _initializer(self, part: Field) -> list[Piece]:
        tensor = read_tensor(self._message(part), self.file.path)
        if tensor.name in self.parts:
            return self._new(self.parts[tensor.name])
        return self._kept(part, tensor, movable=True)

    def _new(self, parts: Parts) -> list[Piece]:
        pieces: list[Piece] = []
        for tensor in parts.tensors:
            pieces += self._tensor(tensor)
        for external in parts.external:
            pieces += external.encode()
        return pieces

    def _tensor(self, tensor: NewTensor) -> list[Piece]:
        return self._place(tensor.name, tensor.data_type, tensor.dims, tensor.payload())

    def _place(
        self, name: str, data_type: int, dims: tuple[int, ...], payload: Piece
    ) -> list[Piece]:
        body: list[Piece] = [tensor_header(name, data_type, dims)]
        if self.outside and size([payload]) >= SMALL:
            location, offset = self.outside.place(payload)
            body.append(external_data(location, offset, size([payload])))
        else:
            body += message(schema.Tensor.RAW_DATA, [payload])
        return message(schema.Graph.INITIALIZER, body)

    def _kept(self, part: Field, tensor: Tensor, *, movable: bool) -> list[Piece]:
        """A tensor whose numbers stay: in the same file, or taken in from the data file."""
        extent = tensor.extent
        if movable and extent and self.outside and extent.length >= SMALL:
            return self._place(tensor.name, tensor.data_type, tensor.dims, extent)
        if tensor.external is None or extent is None:
            return [self._as_is(part)]
        header = tensor_header(tensor.name, tensor.data_type, tensor.dims)
        return message(part.number, [header, *message(schema.Tensor.RAW_DATA, [extent])])

    def _inner_tensor(self, part: Field) -> list[Piece]:
        return self._kept(part, read_tensor(self._message(part), self.file.path), movable=False)

    def _node(self, part: Field) -> list[Piece]:
        return self._nested(
            part,
            {
                schema.Node.ATTRIBUTE: self._attribute,
                schema.Node.METADATA: self._note,
                schema.Node.DOC: self._doc,
            },
        )

    def _attribute(self, part: Field) -> list[Piece]:
        inner: dict[int, Copy] = {
            schema.Attribute.T: self._inner_tensor,
            schema.Attribute.TENSORS: self._inner_tensor,
            schema.Attribute.G: self._body,
            schema.Attribute.GRAPHS: self._body,
        }
        return self._nested(part, inner)

    def _body(self, part: Field) -> list[Piece]:
        inner: dict[int, Copy] = {
            schema.Graph.NODE: self._node,
            schema.Graph.INITIALIZER: self._inner_tensor,
            schema.Graph.METADATA: self._note,
        }
        return self._nested(part, inner)

    def _nested(self, part: Field, inner: Mapping[int, Copy]) -> list[Piece]:
        """A message field whose fields named in `inner` are rewritten, the rest taken over."""
        original = self._message(part)
        pieces: list[Piece] = []
        changed = False
        for child in original.fields:
            copy = inner.get(child.number)
            if copy is None or child.wire != BYTES:
                pieces.append(self._as_is(child))
                continue
            copied = copy(child)
            changed |= copied != [self._as_is(child)]
            pieces += copied
        return message(part.number, join(pieces)) if changed else [self._as_is(part)]

    def _note(self, part: Field) -> list[Piece]:
        key = self._key(part)
        dropped = key.startswith("pkg.") and key not in KEPT_NOTES
        return [] if dropped else [self._as_is(part)]

    def _doc(self, part: Field) -> list[Piece]:
        """A doc string, unless it names files of the machine that made it."""
        doc = bytes(self.file.buffer[part.start : part.end])
        return (
            [] if re.search(rb'File "|(^|[\s"\'(=])(/\w|[A-Za-z]:\\)', doc) else [self._as_is(part)]
        )

    def _key(self, part: Field) -> str:
        return self._message(part).text(schema.Entry.KEY)

    def _message(self, part: Field) -> Message:
        return Message(self.file.buffer, part.start, part.end)

    def _as_is(self, part: Field) -> Extent:
        return Extent(self.file.path, part.begin, part.end - part.begin)
