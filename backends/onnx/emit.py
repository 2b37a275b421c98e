"""Writes a pruned ONNX model as a stream: at no time is more than one layer in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from lottoc.backends.onnx.activations import Activations, quantize_stage
from lottoc.backends.onnx.choose import (
    GROUPS,
    Choice,
    LayerReport,
    candidates,
    choose,
    layer_report,
)
from lottoc.backends.onnx.notes import REMOVED, GroupNote, LayerNote, write_notes
from lottoc.backends.onnx.pieces import Piece, size, write
from lottoc.backends.onnx.pruned import Content, Masks, Orders, Weights
from lottoc.backends.onnx.rewrite import DataFile, Rewrite
from lottoc.backends.onnx.structure.cost import WORKLOAD, Rule, Workload
from lottoc.backends.onnx.structure.stage import NOT_FOLLOWED, Stage, refuse_ungrouped, restructure
from lottoc.backends.onnx.swap import contents, plan, swap_path, swappable
from lottoc.diagnostics import input_error
from lottoc.frontends.onnx_model import OnnxModel

MAX_FILE = (1 << 31) - 1
"""Bytes; protobuf reads no larger message."""


def emit(
    model: OnnxModel,
    output: Path,
    masks: Masks,
    weights: Weights | None = None,
    *,
    format: str = "auto",
    values: str = "same",
    workload: Workload = WORKLOAD,
    orders: Orders | None = None,
    activations: Activations | None = None,
) -> list[LayerReport]:
    """Write `model` with `mask * weight` for each masked layer, and report on those layers.

    `format` is `auto`, `groups` or one of `FORMATS`. `values` is `same`, or the narrower type
    (`float16`, `bfloat16`, `int8`, see `values`) that kept weights are stored in where the format
    can. Under `auto`, layers are
    grouped where that is faster on the target and for the batch sizes of `workload`. A model of
    2 GiB or more is split into `output` and `output` + ".data" beside it: the model knows the data
    file by that name, so give the final file name, in a temporary folder if need be. With `orders`
    channels are put in another order in all that makes or reads them, and no layer is grouped. With
    `activations`, and int8 values, grouped layers multiply in int8 (see `quantized`).

    Raises `InputError`: `onnx-format` for a format or type that is unknown or does not suit the
    model, or where no layer can multiply in int8, `onnx-range` for weights that `values` cannot
    hold, `onnx-too-large`, `onnx-order` for an order that cannot be written into the model, and
    what `Activations.scales` raises.
    """
    _refuse_in_place(model, output)
    content = Content(model, masks, weights, orders=orders or {})
    formats, rule = candidates(format), None if content.ordered else workload.rule(format)
    with tempfile.TemporaryDirectory(prefix="lottoc-structure-") as folder:
        stage = restructure(content, Path(folder), rule, small=activations is not None)
        if format == GROUPS:
            refuse_ungrouped(content, stage)
        if activations is not None:
            stage = _in_int8(content, stage, activations, Path(folder), rule)
        if stage is not None:
            return _emit_stage(content, stage, output, formats, values, rule)
    with model.file.damage_is_an_error():
        chosen = choose(content, formats, values)
        parts = {model.weights[name].stored.name: c.parts for name, c in chosen.items()}
        reports = [c.report for c in chosen.values() if c.report.format]
        notes = write_notes(_note(model, report) for report in reports)
        _write(Rewrite(model.file, parts, notes), output)
    return reports


def _in_int8(
    content: Content,
    stage: Stage | None,
    activations: Activations,
    folder: Path,
    rule: Rule | None,
) -> Stage:
    """The stage with its grouped layers in int8, those that can be."""
    if stage is not None:
        stage = quantize_stage(stage, activations, folder, rule)
    if stage is None or not stage.small:
        reasons = list(stage.small_refused.values()) if stage is not None else []
        why = reasons[0] if reasons else "none of float32 runs in groups"
        raise input_error(
            "onnx-format",
            f"no layer can multiply in int8: {why}",
            file=str(content.model.path),
            help=["leave activations out, or take  format = groups , of  pattern = groups(64)"],
        )
    return stage


@dataclass(frozen=True)
class Other:
    """Another ticket of the same network: its dense model, masks and all else as of the core."""

    model: OnnxModel
    masks: Masks


def emit_core(
    model: OnnxModel, output: Path, masks: Masks, others: Sequence[Other], *, format: str = "auto"
) -> list[LayerReport]:
    """Write `model` and beside it files that turn it into `others`, numbered from 1 (see `swap`).

    No unit leaves the graph, because others may need it. Raises `InputError`: what `emit` raises,
    `swap-differs` for a ticket that is not the core and more, `swap-empty`.
    """
    _refuse_in_place(model, output)
    content = Content(model, masks)
    tickets = [Content(other.model, other.masks) for other in others]
    with model.file.damage_is_an_error():
        layout = plan(content, tickets)
        outside = swap_path(output)
        files = {outside: contents(layout, content, content)}
        for number, ticket in enumerate(tickets, start=1):
            files[swap_path(output, number)] = contents(layout, content, ticket)
        chosen = choose(content, candidates(format), "same")
        parts, reports = {}, []
        for name, choice in chosen.items():
            weight = model.weights[name].stored.name
            made = swappable(content, layout, choice.parts, weight, outside.name)
            parts[weight] = made
            reports.append(replace(choice.report, nbytes=made.payload))
        notes = [_note(model, report) for report in reports]
        digests = {path.name: sha256(data).hexdigest() for path, data in files.items()}
        for path, data in files.items():
            path.write_bytes(data)
        _write(Rewrite(model.file, parts, write_notes(notes, digests)), output)
    return reports


def _note(model: OnnxModel, report: LayerReport) -> LayerNote:
    """What to note of a layer that was not rewritten."""
    same = report.values == model.weights[report.name].layer.dtype
    values = "" if same else report.values
    return LayerNote(
        report.name,
        report.format,
        report.kept,
        None,
        values,
        report.rounding,
        activations=report.activations,
    )


def _emit_stage(
    content: Content,
    stage: Stage,
    output: Path,
    formats: tuple[str, ...],
    values: str,
    rule: Rule | None,
) -> list[LayerReport]:
    """Write a rewritten model, and report on the layers that it was made from."""
    model = stage.model
    with model.file.damage_is_an_error():
        chosen = choose(Content(model, stage.mask, small=stage.small), formats, values)
        parts = {model.weights[name].stored.name: c.parts for name, c in chosen.items()}
        written = [_staged(content, stage, name, chosen) for name in _masked(content)]
        notes = write_notes(note for _, note in written)
        _write(Rewrite(model.file, parts, notes), output)
    return [_predicted(report, stage, content, rule) for report, _ in written]


def _predicted(
    report: LayerReport, stage: Stage, content: Content, rule: Rule | None
) -> LayerReport:
    """The report with what the layer is to take on the target, where it could be grouped."""
    own = content.model.weights[report.name].stored.name
    if rule is None or own not in stage.sites:
        return report
    site, grouping = stage.sites[own]
    return replace(report, predicted=rule.predict(site, grouping, report.shape))


def _masked(content: Content) -> list[str]:
    return [name for name in content.model.weights if content.mask(name) is not None]


def _staged(
    content: Content, stage: Stage, name: str, chosen: Mapping[str, Choice]
) -> tuple[LayerReport, LayerNote]:
    """What to report and to note of an original layer."""
    weight, mask = content.model.weights[name], content.mask(name)
    own = weight.stored.name
    stored = {stage.model.weights[key].stored.name: c.report for key, c in chosen.items()}
    assert mask is not None
    written, group = stored.get(stage.stored_name(own)), stage.groups.get(own)
    report = layer_report(weight, int(np.count_nonzero(mask)), REMOVED, 0)
    report = replace(report, values="", units=stage.shapes.get(own, weight.layer.shape[:2]))
    report = replace(report, order=_order(content, stage, name))
    if written is None:
        return report, LayerNote(name, REMOVED, 0)
    moved = stage.moved.get(own) if own not in stage.shapes else None
    note = replace(_note(stage.model, written), layer=name, moved=moved)
    report = replace(
        report,
        values=written.values,
        rounding=written.rounding,
        activations=written.activations,
        floats=stage.small_refused.get(stage.stored_name(own), ""),
    )
    if group is None:
        return replace(report, format=written.format, nbytes=written.nbytes), note
    nbytes = written.nbytes + 4 * group.grouping.gathered.size
    shape = (*report.units, *weight.layer.shape[2:])
    dims = shape[::-1] if weight.transposed else shape
    groups = GroupNote(own, dims, weight.transposed, group.rows, group.channels)
    report = replace(report, format=GROUPS, nbytes=nbytes)
    return report, replace(note, format=GROUPS, group=groups)


def _order(content: Content, stage: Stage, name: str) -> str:
    """What to say of the order of the channels that an N:M layer reads."""
    if name not in content.orders or not content.ordered:
        return ""
    own = content.model.weights[name].stored.name
    if content.orders[name] is None:
        return f"kept: {stage.fixed.get(own, NOT_FOLLOWED)}"
    moved = stage.moved.get(own)
    return "kept: no other is better" if moved is None or moved.columns is None else "permuted"


def _refuse_in_place(model: OnnxModel, output: Path) -> None:
    sources = {t.extent.path for t in model.file.tensors() if t.extent} | {model.path}
    for path in (output, output.with_name(f"{output.name}.data")):
        if path.exists() and any(path.samefile(source) for source in sources):
            raise ValueError(f"{path} is read while it would be written")


def _write(rewrite: Rewrite, output: Path) -> None:
    pieces = rewrite.pieces()
    if size(pieces) > MAX_FILE:
        data = rewrite.outside = DataFile(f"{output.name}.data")
        pieces = rewrite.pieces()
        if size(pieces) > MAX_FILE:
            raise input_error(
                "onnx-too-large",
                f"the model file would have {size(pieces)} bytes, {MAX_FILE} at most are possible",
                help=["sparse tensors cannot be moved out of it: use format = packed"],
            )
        _write_pieces(data.pieces, output.with_name(data.location))
    _write_pieces(pieces, output)


def _write_pieces(pieces: list[Piece], path: Path) -> None:
    with open(path, "wb") as stream:
        write(pieces, stream)
