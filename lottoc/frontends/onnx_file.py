"""An ONNX file as it lies on disk: its graph is read, its tensors are only located."""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lottoc.diagnostics import InputError, input_error
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_tensor import Tensor, read_tensor
from lottoc.frontends.protobuf import BYTES, Damaged, Field, Message

MAX_DEPTH = 50
"""Deepest nesting of If and Loop bodies that is followed; protobuf itself stops at 100 messages."""


@dataclass(frozen=True)
class Node:
    """One operation of a graph."""

    op: str
    domain: str
    name: str
    inputs: list[str]
    outputs: list[str]
    message: Message

    @cached_property
    def attributes(self) -> dict[str, Message]:
        """AttributeProto messages by name."""
        found = self.message.messages(schema.Node.ATTRIBUTE)
        return {attribute.text(schema.Attribute.NAME): attribute for attribute in found}

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        attribute = self.attributes.get(name)
        return attribute.integer(schema.Attribute.I) if attribute else default

    @cached_property
    def metadata(self) -> dict[str, str]:
        """What an exporter noted of the node."""
        return read_entries(self.message, schema.Node.METADATA)

    def bodies(self) -> Iterator[Message]:
        """The graphs inside the node, as of If, Loop and Scan."""
        for attribute in self.attributes.values():
            yield from attribute.messages(schema.Attribute.G)
            yield from attribute.messages(schema.Attribute.GRAPHS)


def read_entries(message: Message, number: int) -> dict[str, str]:
    """A repeated StringStringEntryProto as a dict."""
    return {
        entry.text(schema.Entry.KEY): entry.text(schema.Entry.VALUE)
        for entry in message.messages(number)
    }


def read_nodes(graph: Message) -> Iterator[Node]:
    """The nodes of a GraphProto, in file order, which ONNX demands to be topological."""
    for message in graph.messages(schema.Graph.NODE):
        yield Node(
            message.text(schema.Node.OP_TYPE),
            message.text(schema.Node.DOMAIN),
            message.text(schema.Node.NAME),
            message.texts(schema.Node.INPUT),
            message.texts(schema.Node.OUTPUT),
            message,
        )


class OnnxFile:
    """A model file mapped into memory; only the parts that are asked for are ever read."""

    def __init__(self, path: Path) -> None:
        """Map the file and find its graph.

        Raises `InputError`: `model-not-found` or `onnx-invalid`.
        """
        self.path = path
        self.buffer = _map_file(path)
        with self.damage_is_an_error():
            self.model = Message(self.buffer, 0, len(self.buffer))
            graph = self.model.message(schema.Model.GRAPH)
            if graph is None or not self.model.integer(schema.Model.IR_VERSION):
                raise Damaged("no graph or no IR version in it")
            self.graph = graph

    def forget(self) -> None:
        """Let go of pages that were read; what is asked for again is read again."""
        if hasattr(self.buffer, "madvise"):  # not on every system
            self.buffer.madvise(mmap.MADV_DONTNEED)

    def damage_is_an_error(self) -> _Guard:
        """A context in which malformed bytes become an `InputError` that names the file."""
        return _Guard(self.path)

    @cached_property
    def ir_version(self) -> int:
        """The version of the format."""
        return self.model.integer(schema.Model.IR_VERSION)

    @cached_property
    def opset(self) -> int:
        """The version of the standard operators, 0 if the model imports none."""
        for entry in self.model.messages(schema.Model.OPSET_IMPORT):
            if entry.text(1) in ("", "ai.onnx"):
                return entry.integer(2)
        return 0

    @cached_property
    def nodes(self) -> list[Node]:
        """The nodes of the main graph."""
        return list(read_nodes(self.graph))

    @cached_property
    def initializer_fields(self) -> dict[str, tuple[Field, Tensor]]:
        """Initializers of the main graph with their places in the file, by name."""
        found: dict[str, tuple[Field, Tensor]] = {}
        for field in self.graph.each(schema.Graph.INITIALIZER, BYTES):
            tensor = read_tensor(Message(self.buffer, field.start, field.end), self.path)
            if tensor.name in found:
                raise Damaged(f'two initializers are called "{tensor.name}"')
            found[tensor.name] = (field, tensor)
        self.forget()
        return found

    @cached_property
    def initializers(self) -> dict[str, Tensor]:
        """Initializers of the main graph, by name."""
        return {name: tensor for name, (_, tensor) in self.initializer_fields.items()}

    @cached_property
    def inputs(self) -> dict[str, Message]:
        """ValueInfoProto of the main graph's inputs, by name."""
        found = self.graph.messages(schema.Graph.INPUT)
        return {message.text(1): message for message in found}

    @cached_property
    def outputs(self) -> list[str]:
        """Names of the main graph's outputs."""
        return [message.text(1) for message in self.graph.messages(schema.Graph.OUTPUT)]

    @cached_property
    def value_names(self) -> set[str]:
        """Every name that a value has, in bodies too."""
        names = {*self.initializers, *self.inputs}
        for message in self.graph.messages(schema.Graph.SPARSE_INITIALIZER):
            values = message.message(schema.Sparse.VALUES)
            names |= {values.text(schema.Tensor.NAME)} if values else set()
        pending = [self.graph]
        while pending:
            graph = pending.pop()
            for node in self.nodes if graph is self.graph else read_nodes(graph):
                names.update(node.outputs)
                pending += node.bodies()
        return names

    def constant(self, node: Node) -> Tensor | None:
        """The dense tensor of a `Constant` node, named like the node's output."""
        attribute = node.attributes.get("value")
        if node.op != "Constant" or attribute is None or len(node.outputs) != 1:
            return None
        message = attribute.message(schema.Attribute.T)
        if message is None:
            return None
        tensor = read_tensor(message, self.path)
        return Tensor(
            node.outputs[0], tensor.data_type, tensor.dims, message, tensor.extent, tensor.external
        )

    def tensors(self) -> Iterator[Tensor]:
        """Every dense tensor of the file, those inside attributes and bodies included."""
        yield from self.initializers.values()
        yield from self._inner_tensors(self.graph, 0)

    def _inner_tensors(self, graph: Message, depth: int) -> Iterator[Tensor]:
        if depth > MAX_DEPTH:
            raise Damaged(f"graphs are nested more than {MAX_DEPTH} deep")
        if depth:
            for message in graph.messages(schema.Graph.INITIALIZER):
                yield read_tensor(message, self.path)
        for node in read_nodes(graph):
            for attribute in node.attributes.values():
                for number in (schema.Attribute.T, schema.Attribute.TENSORS):
                    for message in attribute.messages(number):
                        yield read_tensor(message, self.path)
            for body in node.bodies():
                yield from self._inner_tensors(body, depth + 1)


class _Guard:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Damaged):
            raise input_error(
                "onnx-invalid",
                f"not an ONNX model, or damaged: {error}",
                file=str(self.path),
                help=["export the model again, or copy the file again"],
            ) from error
        if isinstance(error, InputError):
            raise InputError(
                [replace(d, file=d.file or str(self.path)) for d in error.diagnostics]
            ) from error


def _map_file(path: Path) -> mmap.mmap:
    try:
        with open(path, "rb", opener=_open_nonblocking) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise IsADirectoryError(0, "not a file")
            if not status.st_size:
                raise input_error("onnx-invalid", "the model file is empty", file=str(path))
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except IsADirectoryError as error:
        raise input_error("onnx-invalid", "the model is not a file", file=str(path)) from error
    except (OSError, ValueError) as error:
        raise input_error(
            "model-not-found",
            f"cannot read the model: {getattr(error, 'strerror', None) or error}",
            file=str(path),
            help=["paths in a recipe are relative to the recipe's own folder"],
        ) from error


def _open_nonblocking(path: str, flags: int) -> int:
    """Open without waiting for a writer, should the path be a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
