"""Checks that a written model differs from its source in nothing but the replaced weights."""

from __future__ import annotations

from collections.abc import Iterator

from lottoc.backends.onnx.failure import failure
from lottoc.backends.onnx.pieces import CHUNK
from lottoc.backends.onnx.pruned import Content
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_file import Node, OnnxFile
from lottoc.frontends.onnx_tensor import Extent, Tensor


def check_same_rest(file: OnnxFile, content: Content) -> None:
    """Raise `LottoError` if a node or tensor is missing, changed or left over."""
    source = content.model.file
    replaced = {
        weight.stored.name
        for name, weight in content.model.weights.items()
        if content.mask(name) is not None or content.has_new(name)
    }
    _check_nodes(file, source, replaced)
    _check_tensors(file, source, replaced)


def _check_nodes(file: OnnxFile, source: OnnxFile, replaced: set[str]) -> None:
    wanted = [_describe(node) for node in source.nodes if not _defines(node, replaced)]
    known = {output for node in source.nodes for output in node.outputs} - replaced
    given = [_describe(node) for node in file.nodes if not node.outputs or _defines(node, known)]
    if wanted != given:
        first = next((w for w, g in zip(wanted, given, strict=False) if w != g), None)
        name = f', first "{first[1]}"' if first else ""
        raise failure(
            file.path, f"the graph has {len(given)} of {len(wanted)} original nodes unchanged{name}"
        )
    for node in file.nodes:
        prefixes = tuple(f"{name}." for name in replaced)
        if not _defines(node, known | replaced) and not node.outputs[0].startswith(prefixes):
            raise failure(file.path, f'node "{node.name}" is not in the source model')


def _defines(node: Node, names: set[str]) -> bool:
    return any(output in names for output in node.outputs)


def _describe(node: Node) -> tuple[str, str, str, list[str], list[str], dict[str, bytes]]:
    inner = {schema.Attribute.T, schema.Attribute.G, schema.Attribute.TENSORS}
    inner.add(schema.Attribute.GRAPHS)
    attributes = {
        name: bytes(message.buffer[message.start : message.end])
        for name, message in node.attributes.items()
        if not any(field.number in inner for field in message.fields)
    }
    return node.op, node.name, node.domain, node.inputs, node.outputs, attributes


def _check_tensors(file: OnnxFile, source: OnnxFile, replaced: set[str]) -> None:
    for name, tensor in source.initializers.items():
        if name not in replaced and not _same(file.initializers.get(name), tensor):
            raise failure(file.path, f'tensor "{name}" differs from the source model')
    prefixes = ("lottoc.", *(f"{name}." for name in replaced))
    for name in file.initializers.keys() - source.initializers.keys() - replaced:
        if not name.startswith(prefixes):
            raise failure(file.path, f'tensor "{name}" is not in the source model')


def _same(given: Tensor | None, wanted: Tensor) -> bool:
    if given is None or (given.dims, given.data_type) != (wanted.dims, wanted.data_type):
        return False
    if wanted.extent is None or given.extent is None:
        return _payload(given) == _payload(wanted)
    if given.extent.length != wanted.extent.length:
        return False
    pairs = zip(_chunks(given.extent), _chunks(wanted.extent), strict=True)
    return all(left == right for left, right in pairs)


def _payload(tensor: Tensor) -> bytes:
    message = tensor.message
    return bytes(message.buffer[message.start : message.end])


def _chunks(extent: Extent) -> Iterator[bytes]:
    with open(extent.path, "rb") as stream:
        stream.seek(extent.offset)
        for start in range(0, extent.length, CHUNK):
            yield stream.read(min(CHUNK, extent.length - start))
