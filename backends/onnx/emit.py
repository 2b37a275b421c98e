"""Writes a pruned ONNX model as a stream: at no time is more than one layer in memory."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import lottoc
from lottoc.backends.onnx import dense
from lottoc.backends.onnx.pieces import Piece, size, write
from lottoc.backends.onnx.representation import MaskedWeight, Parts, Unsuitable
from lottoc.backends.onnx.rewrite import DataFile, Rewrite
from lottoc.backends.onnx.structure.cost import worth_grouping
from lottoc.backends.onnx.structure.stage import Stage, restructure
from lottoc.diagnostics import did_you_mean, input_error
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_layers import Weight
from lottoc.frontends.onnx_model import OnnxModel

MAX_FILE = (1 << 31) - 1
"""Bytes; protobuf reads no larger message."""

Masks = Mapping[str, NDArray[np.bool_]] | Callable[[str], NDArray[np.bool_] | None]
Weights = Mapping[str, NDArray[np.generic]] | Callable[[str], NDArray[np.generic] | None]


@dataclass(frozen=True)
class LayerReport:
    """How one layer was written; `nbytes` counts data and decoder, `dense_bytes` the weights.

    `units` is [out, in] of the stored weight, smaller than `shape` where dead units have left.
    """

    name: str
    shape: tuple[int, ...]
    kept: int
    format: str
    nbytes: int
    dense_bytes: int
    units: tuple[int, ...] = ()

    @property
    def sparsity(self) -> float:
        """Fraction of zeros that the mask demands."""
        size = int(np.prod(self.shape))
        return 1 - self.kept / size


@dataclass(frozen=True)
class Content:
    """What a model shall hold: masks and new weights, both canonical, by layer.

    Either may be a function; it is called once or more for each layer, and returns None for a layer
    without a mask, or with the weights of the file. Weights of the layers in `narrow` are rounded
    to the element type it gives.
    """

    model: OnnxModel
    masks: Masks
    weights: Weights | None = None
    narrow: Mapping[str, int] = field(default_factory=dict)

    def mask(self, name: str) -> NDArray[np.bool_] | None:
        """The mask of a layer, or None if it stays dense."""
        mask = self.masks(name) if callable(self.masks) else self.masks.get(name)
        shape = self.model.weights[name].layer.shape
        if mask is not None and (mask.shape != shape or mask.dtype != np.bool_):
            raise ValueError(f"mask of {name} is {mask.dtype}{mask.shape}, not bool{shape}")
        return mask

    def weight(self, name: str) -> NDArray[np.generic]:
        """The dense weight of a layer, in the layer's own type."""
        new = self.weights
        value = new(name) if callable(new) else (new or {}).get(name)
        weight = self.model.weights[name]
        if value is None:
            value = self.model.layer(name)
        if value.shape != weight.layer.shape:
            raise ValueError(f"weight of {name} is {value.shape}, not {weight.layer.shape}")
        if name in self.narrow:
            value = value.astype(schema.numpy_type(self.narrow[name]))
        return value.astype(schema.numpy_type(weight.stored.data_type), copy=False)

    def has_new(self, name: str) -> bool:
        """Whether a layer's weight may differ from the file's."""
        return callable(self.weights) or name in (self.weights or {})


def emit(
    model: OnnxModel,
    output: Path,
    masks: Masks,
    weights: Weights | None = None,
    *,
    format: str = "auto",
    values: str = "same",
) -> list[LayerReport]:
    """Write `model` with `mask * weight` for each masked layer, and report on those layers.

    `format` is `auto` or one of `FORMATS`. `values` is `same`, or the narrower type (`float16`)
    that kept weights are stored in where the format can. A model of 2 GiB or more is split into
    `output` and `output` + ".data" beside it: the model knows the data file by that name, so give
    the final file name, in a temporary folder if need be.

    Raises `InputError`: `onnx-format` for a format or type that is unknown or does not suit the
    model, `onnx-range` for weights that `values` cannot hold, `onnx-too-large`.
    """
    _refuse_in_place(model, output)
    content, candidates = Content(model, masks, weights), _candidates(format)
    with tempfile.TemporaryDirectory(prefix="lottoc-structure-") as folder:
        stage = restructure(content, Path(folder), worth_grouping(format))
        if stage is not None:
            return _emit_stage(content, stage, output, candidates, values)
    with model.file.damage_is_an_error():
        chosen = _choose(content, candidates, values)
        parts = {model.weights[name].stored.name: c.parts for name, c in chosen.items()}
        reports = [c.report for c in chosen.values() if c.report.format]
        _write(Rewrite(model.file, parts, _metadata(reports)), output)
    return reports


def _emit_stage(
    content: Content, stage: Stage, output: Path, candidates: tuple[str, ...], values: str
) -> list[LayerReport]:
    """Write a rewritten model, and report on the layers that it was made from."""
    model = stage.model
    with model.file.damage_is_an_error():
        chosen = _choose(Content(model, stage.mask), candidates, values)
        parts = {model.weights[name].stored.name: c.parts for name, c in chosen.items()}
        reports = _stage_reports(content, stage, chosen)
        _write(Rewrite(model.file, parts, _metadata(reports)), output)
    return reports


def _stage_reports(
    content: Content, stage: Stage, chosen: Mapping[str, _Choice]
) -> list[LayerReport]:
    stored = {stage.model.weights[name].stored.name: c.report for name, c in chosen.items()}
    reports = []
    for name, weight in content.model.weights.items():
        mask = content.mask(name)
        if mask is None:
            continue
        own = weight.stored.name
        written = stored.get(stage.stored_name(own))
        report = _report(weight, int(np.count_nonzero(mask)), "removed", 0)
        if written is not None:
            format = "groups" if own in stage.groups else written.format
            report = replace(report, format=format, nbytes=written.nbytes)
        reports.append(replace(report, units=stage.shapes.get(own, weight.layer.shape[:2])))
    return reports


def _refuse_in_place(model: OnnxModel, output: Path) -> None:
    sources = {t.extent.path for t in model.file.tensors() if t.extent} | {model.path}
    for path in (output, output.with_name(f"{output.name}.data")):
        if path.exists() and any(path.samefile(source) for source in sources):
            raise ValueError(f"{path} is read while it would be written")


@dataclass(frozen=True)
class _Choice:
    parts: Parts
    report: LayerReport


def _candidates(format: str) -> tuple[str, ...]:
    from lottoc.backends.onnx import AUTO, FORMATS

    if format not in ("auto", "groups", *FORMATS):
        raise input_error(
            "onnx-format",
            f'no ONNX format is called "{format}"',
            help=did_you_mean(format, ["auto", "groups", *FORMATS]),
        )
    return AUTO if format in ("auto", "groups") else (format,)


def _choose(content: Content, candidates: tuple[str, ...], values: str) -> dict[str, _Choice]:
    chosen: dict[str, _Choice] = {}
    for name, weight in content.model.weights.items():
        mask = content.mask(name)
        if mask is not None:
            kept = int(np.count_nonzero(mask))
            chosen[name] = _smallest(content, weight, kept, candidates, values)
        elif content.has_new(name):
            whole = masked_weight(content, weight, weight.layer.size, weight.stored.data_type)
            chosen[name] = _Choice(dense.encode(whole), _report(weight, 0, "", 0))
    return _worth_sharing(content, chosen, candidates)


def _smallest(
    content: Content, weight: Weight, kept: int, candidates: tuple[str, ...], values: str
) -> _Choice:
    from lottoc.backends.onnx import FORMATS

    found: list[_Choice] = []
    reasons: list[str] = []
    for format in candidates:
        own = weight.stored.data_type
        keep = format == "dense" and len(candidates) > 1
        value_type = own if keep else _value_type(values, own)
        masked = masked_weight(content, weight, kept, value_type)
        try:
            parts = FORMATS[format]().encode(masked)
            _check_names(content, parts, weight)
        except Unsuitable as reason:
            reasons.append(str(reason))
            continue
        found.append(_Choice(parts, _report(weight, kept, format, parts.payload)))
    if not found:
        raise input_error(
            "onnx-format",
            f'layer "{weight.layer.name}" cannot be stored as {candidates[0]}: {reasons[0]}',
            file=str(content.model.path),
            help=["with format = auto, each layer gets the smallest format that suits it"],
        )
    return min(found, key=lambda choice: choice.report.nbytes)


def _worth_sharing(
    content: Content, chosen: dict[str, _Choice], candidates: tuple[str, ...]
) -> dict[str, _Choice]:
    """In a tiny model the table that packed layers share may outweigh what they save."""
    sharing = [name for name, choice in chosen.items() if choice.parts.shared]
    if "dense" not in candidates or not sharing:
        return chosen
    plain = {name: _smallest_dense(content, chosen[name].report) for name in sharing}
    saved = sum(plain[n].report.nbytes - chosen[n].report.nbytes for n in sharing)
    tables = {t.name: t.nbytes for name in sharing for t in chosen[name].parts.shared}
    shared = sum(tables.values())
    return chosen if saved > shared else {**chosen, **plain}


def _smallest_dense(content: Content, report: LayerReport) -> _Choice:
    weight = content.model.weights[report.name]
    return _smallest(content, weight, report.kept, ("dense",), "same")


def _value_type(values: str, own: int) -> int:
    """The element type asked for, or the weight's own if that is not wider."""
    known = {name: int(data_type) for data_type, name in schema.FLOATING.items()}
    if values != "same" and values not in known:
        raise input_error(
            "onnx-format",
            f'weights cannot be stored as "{values}"',
            help=did_you_mean(values, ["same", *known]),
        )
    asked = known.get(values, own)
    narrower = schema.numpy_type(asked).itemsize < schema.numpy_type(own).itemsize
    return asked if narrower else own


def masked_weight(content: Content, weight: Weight, kept: int, value_type: int) -> MaskedWeight:
    """What a representation is given of a layer: lazily computed, in storage order."""
    name = weight.layer.name

    def storage(canonical: NDArray[np.generic]) -> NDArray[np.generic]:
        return (canonical.T if weight.transposed else canonical).reshape(-1)

    def mask() -> NDArray[np.bool_]:
        canonical = content.mask(name)
        if canonical is None:
            return np.ones(weight.layer.size, np.bool_)
        return storage(canonical).astype(np.bool_, copy=False)

    def values() -> NDArray[np.generic]:
        flat = storage(content.weight(name))
        if value_type != weight.stored.data_type:
            _check_range(flat[mask()], value_type, name)
        return flat

    opset = content.model.file.opset
    return MaskedWeight(weight.stored, kept, opset, value_type, mask, values)


def _check_range(kept: NDArray[np.generic], value_type: int, name: str) -> None:
    with np.errstate(over="ignore"):
        narrow = kept.astype(schema.numpy_type(value_type))
    lost = np.isfinite(kept.astype(np.float64)) & ~np.isfinite(narrow.astype(np.float64))
    if lost.any():
        worst = float(np.abs(kept[lost].astype(np.float64)).max())
        raise input_error(
            "onnx-range",
            f'layer "{name}" has a weight of {worst:g}, too large for '
            f"{schema.FLOATING[schema.DataType(value_type)]}",
            help=["keep the values in their own type"],
        )


def _check_names(content: Content, parts: Parts, weight: Weight) -> None:
    """A decoder's values must not take a name that the model uses."""
    new = {tensor.name for tensor in (*parts.tensors, *parts.shared)}
    new |= {node.output for node in parts.nodes}
    clash = sorted((new & content.model.file.value_names) - {weight.stored.name})
    if clash:
        raise Unsuitable(f'the model already has a value called "{clash[0]}"')


def _report(weight: Weight, kept: int, format: str, nbytes: int) -> LayerReport:
    layer = weight.layer
    itemsize = schema.numpy_type(weight.stored.data_type).itemsize
    return LayerReport(layer.name, layer.shape, kept, format, nbytes, layer.size * itemsize)


def _metadata(reports: Iterable[LayerReport]) -> str:
    """What made the file, without times or paths: equal inputs give equal bytes."""
    layers = {report.name: [report.format, report.kept] for report in reports}
    content = {"version": lottoc.__version__, "layers": layers}
    return json.dumps(content, separators=(",", ":"), sort_keys=True)


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
