"""Writes a pruned torch model as the program that torch.export makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import lottoc.runtime  # noqa: F401 - registers the operators
from lottoc.backends.fx import FORMATS
from lottoc.backends.fx.choose import REMOVED, LayerReport, candidates, choose
from lottoc.backends.fx.dead_units import Removal, remove_dead_units
from lottoc.backends.fx.graph import Graph
from lottoc.backends.fx.network import WHOLE, Network
from lottoc.backends.fx.notes import LayerNote, write_notes
from lottoc.backends.fx.program import exported, save
from lottoc.backends.fx.semi_structured import is_two_of_four
from lottoc.backends.fx.target import target_of
from lottoc.signature import Layer


def emit(
    network: Network,
    output: Path,
    sample: NDArray[np.generic],
    *,
    format: str = "auto",
    values: str = "same",
    target: str = "torch-cpu",
    batches: tuple[int, ...] = (1,),
) -> list[LayerReport]:
    """Write `network`, and report on its masked layers.

    `sample` is a batch of examples, of which only shape and type are used. `format` is `auto` or
    one of `FORMATS`; `values` is `same`, or the narrower type that `semi_structured` stores. Under
    `auto`, layers run as `csr` where that is faster on a CPU for the batch sizes of `batches`.
    Raises `InputError`: export-failed, export-batch, fx-format.
    """
    like = torch.from_numpy(sample)
    own = target_of(target)
    formats = candidates(format, own)
    program = exported(network.module, like, network.open)
    graph = Graph(program.module(check_guards=False))
    reports, notes = [], []
    whole, removal = network, Removal()
    if "masked" not in formats:  # which is trained further: what is dead may come to life
        removal = remove_dead_units(graph, _packed(network, formats))
        network = network.without(removal.cuts)
    for layer in network.signature:
        readers = graph.readers(network.aliases(layer))
        masked = layer.name in network.kept
        if not readers:
            reports += [_removed(network, layer)] if masked else []
            continue
        name = str(readers[0].target)
        if not masked:
            notes.append(LayerNote.dense(layer, name, network.cut(layer)))
            continue
        able = formats if graph.multiplies(readers) or len(formats) == 1 else ("dense",)
        choice = choose(network, layer, graph.rows(readers), able, values, own, batches)
        report = choice.report
        FORMATS[report.format]().rewrite(graph, choice.weight, choice.stored)
        cut = network.cut(layer)
        narrow = report.values if report.values != layer.dtype else ""
        note = LayerNote(layer, report.format, report.kept, name, report.rounding, cut, narrow)
        notes.append(note)
        reports.append(_of_whole(report, whole, layer) if cut != WHOLE else report)
    graph.sweep()
    save(exported(graph.module, like, whole.open), write_notes(notes, removal.changed), output)
    return reports


def _packed(network: Network, formats: tuple[str, ...]) -> list[str]:
    """Weights that may be stored 2:4: their columns stay in the fours that they are in."""
    if "semi_structured" not in formats:
        return []
    return [
        name
        for layer in network.signature
        if layer.kind != "conv" and layer.name in network.kept
        if is_two_of_four(network.kept[layer.name])
        for name in network.aliases(layer)
    ]


def _of_whole(report: LayerReport, whole: Network, layer: Layer) -> LayerReport:
    """A report of the layer as the model has it, `units` being what is left."""
    mask, weight = whole.kept[layer.name], whole.weight(layer)
    return replace(
        report,
        shape=tuple(mask.shape),
        kept=int(mask.sum()),
        units=layer.shape[:2],
        dense_bytes=weight.nbytes,
    )


def _removed(network: Network, layer: Layer) -> LayerReport:
    kept, size = int(network.kept[layer.name].sum()), network.weight(layer).nbytes
    return LayerReport(layer.name, layer.shape, kept, REMOVED, "", 0, size)


def dense_bytes(network: Network) -> int:
    """Bytes of all that the network is made of, stored densely."""
    state = {id(tensor): tensor for tensor in network.module.state_dict(keep_vars=True).values()}
    return sum(tensor.nbytes for tensor in state.values())
