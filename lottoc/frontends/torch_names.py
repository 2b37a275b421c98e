"""Gives the weights of an exported graph the names their layers have in torch.

The exporter stores the weight of a linear layer on sequences transposed, under a name of its own,
and a tied weight under whichever of its names it meets last.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Content = tuple[tuple[int, ...], bytes]
"""Shape and digest of a stored array."""
_TURNED = ".transposed"


def restore_names(
    graph: onnx.GraphProto,
    weights: Mapping[str, NDArray[Any]],
    names: Mapping[str, Sequence[str]],
) -> list[str]:
    """Rename initializers so that layer `fc1` is stored as `fc1.weight`, once.

    `weights` are the layers' values by that name, `names` all that torch calls a tied weight.
    A weight that the graph holds both as it is and transposed is stored as it is, with a
    `Transpose` where the copy was read. Gives the weights that the graph holds in neither way.
    """
    stored = {tensor.name for tensor in graph.initializer}
    new = {other: name for name in weights for other in names[name] if other in stored}
    upright = set(new.values())
    copies = _transposed_copies(graph, weights, new.keys())
    lost = []
    for name in [name for name in weights if name not in upright]:
        if not copies[name]:
            lost.append(name)
        else:  # layers of equal values share a list: each takes one copy
            new[copies[name].pop(0)] = name
    turned = []
    for name in weights:
        if copies[name] and name in upright:
            turned.append(name)
        target = name + _TURNED if name in upright else name
        new.update(dict.fromkeys(copies[name], target))
        copies[name].clear()
    _rename(graph, new)
    for name in turned:
        node = onnx.helper.make_node("Transpose", [name], [name + _TURNED], perm=[1, 0])
        graph.node.insert(0, node)
    return lost


def _transposed_copies(
    graph: onnx.GraphProto, weights: Mapping[str, NDArray[Any]], known: Collection[str]
) -> dict[str, list[str]]:
    """Which initializers hold the transpose of each weight; one list for equal weights."""
    found: dict[Content, list[str]] = defaultdict(list)
    matrices = {name: weight.T for name, weight in weights.items() if weight.ndim == 2}
    shapes = {matrix.shape for matrix in matrices.values()}
    for tensor in graph.initializer:
        if tuple(tensor.dims) in shapes and tensor.name not in known:
            found[_content(numpy_helper.to_array(tensor))].append(tensor.name)
    if not found:
        return {name: [] for name in weights}
    return {n: found[_content(matrices[n])] if n in matrices else [] for n in weights}


def _content(array: NDArray[Any]) -> Content:
    bytes_: Any = np.ascontiguousarray(array).view(np.uint8)
    return array.shape, hashlib.sha256(bytes_).digest()


def _rename(graph: onnx.GraphProto, new: Mapping[str, str]) -> None:
    """Rename constants wherever they are read; of those that come to be one, keep the first."""
    for part in graphs(graph):
        for node in part.node:
            for position, name in enumerate(node.input):
                node.input[position] = new.get(name, name)
        _delete(part.value_info, [i for i, v in enumerate(part.value_info) if v.name in new])
    seen: set[str] = set()
    spare = []
    for position, tensor in enumerate(graph.initializer):
        name = new.get(tensor.name, tensor.name)
        if name in seen or (name != tensor.name and name.endswith(_TURNED)):
            spare.append(position)
        tensor.name = name
        seen.add(name)
    _delete(graph.initializer, spare)


def _delete(entries: Any, positions: list[int]) -> None:
    for position in reversed(positions):
        del entries[position]


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and the bodies of its control flow."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for body in [attribute.g, *attribute.graphs]:
                if body.node:
                    yield from graphs(body)
