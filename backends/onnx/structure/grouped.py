"""Turns layers with groups into a gather of channels and a grouped convolution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from lottoc.backends.onnx.structure.channel_major import Builder, ChannelMajor, Turned
from lottoc.backends.onnx.structure.grouping import Grouping, find_groups
from lottoc.backends.onnx.structure.operators import constant, integer, rank

Worth = Callable[[tuple[int, ...], Grouping], bool]
"""Whether a layer of a shape [out, in, *kernel] is better off grouped."""

MOST_GROUPS = 256
"""A mask with more distinct rows has no groups to speak of."""


@dataclass(frozen=True)
class Candidate:
    """A layer that can be grouped: its node, its canonical weight and how its rows group."""

    node: ir.Node
    weight: NDArray[Any]
    grouping: Grouping
    bias: NDArray[Any] | None
    output: ir.Value
    """What the layer gives, a bias added by a node of its own included."""


@dataclass
class Lowered:
    """What was grouped: for each weight by name its groups."""

    layers: dict[str, Grouping] = field(default_factory=dict)


def lower_groups(model: ir.Model, weights: frozenset[str], worth: Worth) -> Lowered:
    """Rewrite those of the named weights' layers in the main graph that are worth it, in place.

    Shapes must have been inferred; weights are initializers and hold zeros where they are pruned.
    """
    found = {c.node: c for c in _candidates(model.graph, weights, worth)}
    if not found:
        return Lowered()
    lowered = Lowered({_weight_name(node): c.grouping for node, c in found.items()})
    _rewrite(model.graph, found)
    RemoveUnusedNodesPass()(model)
    return lowered


def _weight_name(node: ir.Node) -> str:
    weight = node.inputs[1]
    assert weight is not None
    return weight.name or ""


def grouped_name(weight: str) -> str:
    """What the weight of a grouped layer is called."""
    return f"{weight}.groups"


def _candidates(graph: ir.Graph, weights: frozenset[str], worth: Worth) -> list[Candidate]:
    result = []
    for node in graph:
        value = node.inputs[1] if len(node.inputs) > 1 else None
        if value is None or value.name not in weights or node.domain not in ("", "ai.onnx"):
            continue
        candidate = _candidate(node, value, worth)
        if candidate is not None:
            result.append(candidate)
    return result


def _candidate(node: ir.Node, value: ir.Value, worth: Worth) -> Candidate | None:
    weight, source = constant(value), node.inputs[0]
    if weight is None or source is None or weight.dtype.kind != "f" or len(node.outputs) != 1:
        return None
    match node.op_type:
        case "Conv" if weight.ndim == 4 and integer(node, "group", 1) == 1:
            canonical = weight
        case "MatMul" if weight.ndim == 2 and rank(source) in (2, 3):
            canonical = weight.T
        case "Gemm" if rank(source) == 2 and _is_plain(node):
            canonical = weight if integer(node, "transB", 0) else weight.T
        case _:
            return None
    grouping = find_groups(canonical)
    if grouping.groups > MOST_GROUPS or not worth(canonical.shape, grouping):
        return None
    bias, output = _bias(node, canonical.shape[0])
    if bias is not None and bias.shape != (canonical.shape[0],):
        return None
    return Candidate(node, canonical, grouping, bias, output)


def _is_plain(node: ir.Node) -> bool:
    scales = [node.attributes[n].as_float() for n in ("alpha", "beta") if n in node.attributes]
    return not integer(node, "transA", 0) and all(scale == 1.0 for scale in scales)


def _bias(node: ir.Node, rows: int) -> tuple[NDArray[Any] | None, ir.Value]:
    """The layer's bias, its own or that of an Add which alone reads its output."""
    output = node.outputs[0]
    if node.op_type != "MatMul":
        own = node.inputs[2] if len(node.inputs) > 2 else None
        if own is None:
            return None, output
        numbers = constant(own)
        if numbers is None:
            return np.empty(0), output  # computed: of no shape that fits
        flat = numbers.reshape(-1)
        return np.broadcast_to(flat, (rows,)) if flat.size == 1 else flat, output
    users = list(output.uses())
    if len(users) == 1 and users[0].node.op_type == "Add" and not output.is_graph_output():
        adder = users[0].node
        numbers = constant(adder.inputs[1 - users[0].idx])
        if numbers is not None and numbers.shape == (rows,):
            return numbers, adder.outputs[0]
    return None, output


def _rewrite(graph: ir.Graph, found: Mapping[ir.Node, Candidate]) -> None:
    build = Builder(graph)
    values = ChannelMajor(build)
    swallowed = {c.output.producer() for c in found.values()} - set(found)
    for node in list(graph):
        if node in found:
            candidate = found[node]
            values.turned[candidate.output] = _group(candidate, values, build)
        elif node not in swallowed and not values.follow(node):
            for at, value in enumerate(node.inputs):
                if value in values.turned and value is not None:
                    node.replace_input_with(at, values.materialize(value, node))
            _inner(node, values)
    for at, value in enumerate(list(graph.outputs)):
        if value in values.turned:
            name, shape, kind = value.name, value.shape, value.type
            result = values.materialize(value, None)
            value.name = build.fresh(f"{name}.old")
            result.name, result.shape, result.type = name, shape, kind
            graph.outputs[at] = result


def _inner(node: ir.Node, values: ChannelMajor) -> None:
    """Values that a node's subgraphs read from outside."""
    for attribute in node.attributes.values():
        if attribute.type != ir.AttributeType.GRAPH:
            continue
        for inside in attribute.as_graph().all_nodes():
            for at, value in enumerate(inside.inputs):
                if value in values.turned and value is not None:
                    inside.replace_input_with(at, values.materialize(value, node))


def _group(candidate: Candidate, values: ChannelMajor, build: Builder) -> Turned:
    """x → Gather the channels of all groups → Conv, one group of channels for one of rows."""
    node, grouping = candidate.node, candidate.grouping
    name = _weight_name(node)
    source = node.inputs[0]
    assert source is not None
    twin = values.twin(source, node)
    channels = grouping.gathered if twin.order is None else twin.order[grouping.gathered]
    read = twin.value
    whole = grouping.groups == 1 and np.array_equal(channels, np.arange(grouping.inputs))
    if not whole or twin.order is not None:
        index = build.constant(channels, f"{name}.channels")
        read = build.node(node, "Gather", [read, index], f"{name}.gathered", axis=1)
    weight = grouping.weight(candidate.weight)
    inputs: list[ir.Value | None] = [read]
    attributes: dict[str, Any] = {"group": grouping.groups}
    if node.op_type == "Conv":
        kept = ("auto_pad", "dilations", "kernel_shape", "pads", "strides")
        attributes |= {k: node.attributes[k].value for k in kept if k in node.attributes}
    else:
        weight, attributes["kernel_shape"] = weight[:, :, None], [1]
    inputs.append(build.constant(weight, grouped_name(name)))
    if candidate.bias is not None:
        inputs.append(build.constant(grouping.per_row(candidate.bias), f"{name}.bias"))
    result = build.node(node, "Conv", inputs, f"{candidate.output.name}.turned", **attributes)
    places = grouping.place
    in_order = np.array_equal(places, np.arange(grouping.rows.size))
    result.shape = ir.Shape([None, grouping.rows.size, *[None] * (weight.ndim - 2)])
    return Turned(result, None if in_order else places, rank(source) or 3)
