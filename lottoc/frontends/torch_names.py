"""Keeps the weights of an exported graph whole, under the names that their layers have in torch.

An exporter folds what it knows the numbers of: it turns weights and cuts them up under names of its
own, and takes those of equal numbers for one. So the numbers are hidden from it while it works.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir


def hide_weights(graph: ir.Graph, names: Iterable[str]) -> dict[str, ir.TensorProtocol]:
    """Make inputs of some initializers, as far as they are there; gives their numbers."""
    hidden: dict[str, ir.TensorProtocol] = {}
    for name in names:
        value = graph.initializers.get(name)
        if value is not None and value.const_value is not None:
            del graph.initializers[name]
            hidden[name], value.const_value = value.const_value, None
            graph.inputs.append(value)
    return hidden


def show_weights(
    graph: ir.Graph,
    hidden: Mapping[str, ir.TensorProtocol],
    names: Mapping[str, Sequence[str]],
) -> None:
    """Give hidden weights their numbers back, each once under the first of its `names`.

    A weight that is read transposed alone is stored so; one that nothing reads is left out.
    """
    inputs = {value.name: value for value in graph.inputs}
    for name, others in names.items():
        values = [inputs[other] for other in others if other in hidden]
        if not values:
            continue
        value, tensor = values[0], hidden[str(values[0].name)]
        for other in values:
            graph.inputs.remove(other)
            if other is not value:
                ir.convenience.replace_all_uses_with(other, value)
        if value.uses():
            value.name, value.const_value = name, tensor
            graph.register_initializer(value)
            _turn(value)


def _turn(value: ir.Value) -> None:
    """`Transpose(w)`, read in every place, becomes a `w` that is stored transposed."""
    turns = [use.node for use in value.uses()]
    if any(node.op_type != "Transpose" or not _swaps(node) for node in turns):
        return
    tensor = value.const_value
    assert tensor is not None
    turned = np.ascontiguousarray(tensor.numpy().T)
    value.const_value = ir.Tensor(turned, dtype=tensor.dtype, name=value.name)
    value.shape = ir.Shape(turned.shape)
    for node in turns:
        ir.convenience.replace_all_uses_with(node.outputs[0], value)
        assert node.graph is not None
        node.graph.remove(node, safe=True)


def _swaps(node: ir.Node) -> bool:
    perm = node.attributes.get("perm")
    axes = [1, 0] if perm is None else list(perm.as_ints())
    return axes == [1, 0] and not node.outputs[0].is_graph_output()


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and the bodies of its control flow."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for body in [attribute.g, *attribute.graphs]:
                if body.node:
                    yield from graphs(body)
