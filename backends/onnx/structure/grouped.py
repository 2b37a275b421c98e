"""Turns layers with groups into a gather of channels and a grouped convolution."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from lottoc.backends.onnx.representation import Unsuitable
from lottoc.backends.onnx.structure.builder import Builder
from lottoc.backends.onnx.structure.cost import Site, Worth
from lottoc.backends.onnx.structure.fold import fold_order
from lottoc.backends.onnx.structure.follow import Follower, find_turns
from lottoc.backends.onnx.structure.grouping import (
    GroupedLayer,
    Grouping,
    find_groups,
    grouped_name,
    no_groups,
)
from lottoc.backends.onnx.structure.layers import Reading, reading
from lottoc.backends.onnx.structure.layout import Layout, Twin, Twins, has_one_row
from lottoc.backends.onnx.structure.operators import constant, rank
from lottoc.backends.onnx.structure.replace import Constants


@dataclass
class Lowered:
    """For each weight by name, what it was turned into or why it was not."""

    layers: dict[str, GroupedLayer] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    sites: dict[str, tuple[Site, Grouping]] = field(default_factory=dict)
    """Layers that could be grouped, whether it pays or not."""


@dataclass(frozen=True)
class _Job:
    """A weight to be grouped, canonical, and the nodes that read it."""

    name: str
    weight: NDArray[Any]
    grouping: Grouping
    readings: tuple[Reading, ...]

    @property
    def site(self) -> Site:
        """Where it is; if several nodes read the weight, the one with most to do counts."""
        sites = [_site(read, self.weight.shape) for read in self.readings]
        return max(sites, key=lambda site: site.rows(1))


def lower_groups(
    model: ir.Model, weights: Iterable[str], worth: Worth, *, small: bool = False
) -> Lowered:
    """Rewrite those of the named weights' layers in the main graph that are worth it, in place.

    `small` is for layers that will give out bytes, which are turned and put in order for little.
    Shapes must have been inferred; weights are initializers and hold zeros where they are pruned.
    """
    lowered, jobs, names = Lowered(), list[_Job](), frozenset(weights)
    for name in sorted(names & set(model.graph.initializers)):
        try:
            jobs.append(_job(model.graph, model.graph.initializers[name]))
        except Unsuitable as reason:
            lowered.refused[name] = str(reason)
    jobs = _worthwhile(model.graph, jobs, worth, lowered)
    if jobs:
        _Rewrite(model.graph, jobs, names, lowered, small).run()
        RemoveUnusedNodesPass()(model)
    return lowered


def _worthwhile(graph: ir.Graph, jobs: list[_Job], worth: Worth, lowered: Lowered) -> list[_Job]:
    """The layers to group; which of them meet without a transpose depends on which are grouped."""
    while jobs:
        turns = find_turns(graph, {read.node: job.name for job in jobs for read in job.readings})
        kept = []
        for job in jobs:
            site = replace(job.site, turns=turns[job.name])
            lowered.sites[job.name] = (site, job.grouping)
            if worth(site, job.grouping):
                kept.append(job)
            else:
                lowered.refused[job.name] = "its groups would not be faster"
        if len(kept) == len(jobs):
            break
        jobs = kept
    return jobs


def _site(read: Reading, shape: tuple[int, ...]) -> Site:
    is_conv = read.node.op_type == "Conv"
    dims = read.node.outputs[0].shape
    sizes = [dim if isinstance(dim, int) else None for dim in dims] if dims is not None else [None]
    places = [sizes[0], *sizes[2:]] if is_conv else sizes[:-1]
    source = read.node.inputs[0]
    one_row = not is_conv and source is not None and has_one_row(source)
    return Site(shape, is_conv, tuple(places), one_row=one_row)


def _job(graph: ir.Graph, value: ir.Value) -> _Job:
    numbers = constant(value)
    if numbers is None or value.is_graph_output():
        raise Unsuitable("its weight can be set or is read from outside")
    if numbers.dtype not in (np.float32, np.float16):
        raise Unsuitable(f"onnxruntime has no convolution of {numbers.dtype}")
    readings = tuple(reading(graph, use.node, use.idx) for use in value.uses())
    if len({r.transposed for r in readings}) != 1:
        raise Unsuitable("its weight is read in two ways")
    weight = numbers.T if readings[0].transposed else numbers
    grouping = find_groups(weight)
    if grouping is None:
        raise Unsuitable(no_groups(weight, grouping))
    return _Job(value.name or "", weight, grouping, readings)


class _Rewrite:
    """Walks the graph once, from front to back."""

    def __init__(
        self,
        graph: ir.Graph,
        jobs: list[_Job],
        kept: frozenset[str],
        lowered: Lowered,
        small: bool,
    ) -> None:
        self.graph, self.lowered = graph, lowered
        self.build = Builder(graph)
        self.twins = Twins(self.build)
        self.follower = Follower(self.twins, kept, small)
        self.kept, self.folded = kept, Constants(graph, "ordered")
        self.jobs = {r.node: (job, r) for job in jobs for r in job.readings}
        self.weights: dict[str, ir.Value] = {}

    def run(self) -> None:
        adders = {r.output.producer() for _, r in self.jobs.values()} - set(self.jobs)
        for node in list(self.graph):
            if node in self.jobs:
                job, read = self.jobs[node]
                self.twins.put(read.output, self._group(job, read))
            elif node not in adders and not self.follower.follow(node):
                unordered = fold_order(node, self.twins, self.folded, self.kept)
                if unordered is not None:
                    node.replace_input_with(0, unordered)
                self._restore_inputs(node, node)
        for at, value in enumerate(list(self.graph.outputs)):
            if value in self.twins.only:
                self._restore_output(at, value)
        self.folded.settle()

    def _restore_inputs(self, node: ir.Node, before: ir.Node) -> None:
        """For a node and the graphs inside it."""
        for at, value in enumerate(node.inputs):
            if value is not None and value in self.twins.only:
                node.replace_input_with(at, self.twins.restore(value, before))
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                for inside in attribute.as_graph():
                    self._restore_inputs(inside, before)

    def _restore_output(self, at: int, value: ir.Value) -> None:
        result = self.twins.restore(value, None)
        if result.producer() is None or result.is_graph_output():
            result = self.build.node(None, "Identity", [result], f"{value.name}.restored")
        name = value.name
        value.name = self.build.fresh(f"{name}.replaced")
        result.name, result.shape, result.type = name, value.shape, value.type
        self.graph.outputs[at] = result

    def _group(self, job: _Job, read: Reading) -> Twin:
        """x → Gather the channels of all groups → Conv, one group of channels for one of rows."""
        node, grouping, is_conv = read.node, job.grouping, read.node.op_type == "Conv"
        source = node.inputs[0]
        assert source is not None
        row = not is_conv and has_one_row(source)
        plain = is_conv or row
        twin = self.twins.twin(source, Layout.PLAIN if plain else Layout.TURNED, node)
        gathered = self._gather(job, node, twin)
        axis = [self.build.integers([2], "lottoc.place")] if row else []
        if row:
            gathered = self.build.node(
                node, "Unsqueeze", [gathered, *axis], f"{job.name}.groups.places"
            )
        attributes = {"group": ir.AttrInt64("group", grouping.groups)}
        if is_conv:
            kept = ("auto_pad", "dilations", "kernel_shape", "pads", "strides")
            attributes |= {k: node.attributes[k] for k in kept if k in node.attributes}
        else:
            attributes["kernel_shape"] = ir.AttrInt64s("kernel_shape", [1])
        inputs = [gathered, self._weight(job, expand=not is_conv)]
        if read.bias is not None:
            bias = grouping.per_row(read.bias)
            inputs.append(self.build.constant(bias, f"{job.name}.groups.bias"))
        name = f"{read.output.name}.twin"
        result = self.build.node_with(node, "Conv", inputs, name, attributes)
        if row:
            result = self.twins.row(result, axis[0], f"{read.output.name}.row", node)
        result.type = read.output.type
        layer = self.lowered.layers[job.name]
        length = rank(read.output) or twin.rank
        size = grouping.rows.size
        return Twin(result, twin.layout, length, grouping.outputs, layer.rows, size, row)

    def _gather(self, job: _Job, node: ir.Node, twin: Twin) -> ir.Value:
        grouping = job.grouping
        channels = grouping.gathered if twin.order is None else twin.order[grouping.gathered]
        place = grouping.place
        in_order = np.array_equal(place, np.arange(grouping.rows.size))
        layer = GroupedLayer(grouping, None if in_order else place, twin.order)
        self.lowered.layers.setdefault(job.name, layer)
        if twin.order is None and np.array_equal(channels, np.arange(grouping.inputs)):
            return twin.value
        index, name = f"{job.name}.groups.channels", f"{job.name}.groups.gathered"
        return self.twins.pick(twin, channels, index, node, name)

    def _weight(self, job: _Job, *, expand: bool) -> ir.Value:
        """One initializer, however many nodes read it."""
        if job.name not in self.weights:
            numbers = job.grouping.weight(job.weight)
            numbers = numbers[:, :, None] if expand else numbers
            self.weights[job.name] = self.build.large(numbers, grouped_name(job.name))
        return self.weights[job.name]
