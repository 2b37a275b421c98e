"""Writes a pruned torch model as the program that torch.export makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import lottoc.runtime  # noqa: F401 - registers the operators
from lottoc.backends.fx import FORMATS
from lottoc.backends.fx.choose import REMOVED, LayerReport, candidates, choose
from lottoc.backends.fx.graph import Graph
from lottoc.backends.fx.network import Network
from lottoc.backends.fx.notes import LayerNote, write_notes
from lottoc.backends.fx.program import exported, save
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
    program = exported(network.module, like)
    graph = Graph(program.module(check_guards=False))
    reports, notes = [], []
    for layer in network.signature:
        readers = graph.readers(network.aliases(layer))
        masked = layer.name in network.kept
        if not readers:
            reports += [_removed(network, layer)] if masked else []
            continue
        name = str(readers[0].target)
        if not masked:
            notes.append(LayerNote.dense(layer, name))
            continue
        choice = choose(network, layer, graph.rows(readers), formats, values, own, batches)
        report = choice.report
        FORMATS[report.format]().rewrite(graph, choice.weight, choice.stored)
        reports.append(report)
        notes.append(LayerNote(layer, report.format, report.kept, name, report.rounding))
    graph.sweep()
    save(exported(graph.module, like), write_notes(notes), output)
    return reports


def _removed(network: Network, layer: Layer) -> LayerReport:
    kept, size = int(network.kept[layer.name].sum()), network.weight(layer).nbytes
    return LayerReport(layer.name, layer.shape, kept, REMOVED, "", 0, size)


def dense_bytes(network: Network) -> int:
    """Bytes of all that the network is made of, stored densely."""
    state = {id(tensor): tensor for tensor in network.module.state_dict(keep_vars=True).values()}
    return sum(tensor.nbytes for tensor in state.values())
