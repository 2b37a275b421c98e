"""Chooses how each masked layer of a model is stored: in the smallest of some formats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lottoc.backends.onnx import dense
from lottoc.backends.onnx.pruned import Content, masked_weight
from lottoc.backends.onnx.representation import Parts, Unsuitable
from lottoc.backends.onnx.structure.cost import Prediction
from lottoc.diagnostics import did_you_mean, input_error
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_layers import Weight

GROUPS = "groups"
"""A format of the graph, not of a weight: layers are rewritten before their weights are stored."""


@dataclass(frozen=True)
class LayerReport:
    """How one layer was written; `nbytes` counts data and decoder, `dense_bytes` the weights.

    `units` is [out, in] of the stored weight, smaller than `shape` where dead units have left.
    `predicted` is what the layer takes on the target, where it could be run in groups.
    """

    name: str
    shape: tuple[int, ...]
    kept: int
    format: str
    nbytes: int
    dense_bytes: int
    units: tuple[int, ...] = ()
    predicted: tuple[Prediction, ...] = ()

    @property
    def sparsity(self) -> float:
        """Fraction of zeros that the mask demands."""
        size = int(np.prod(self.shape))
        return 1 - self.kept / size


@dataclass(frozen=True)
class Choice:
    """A layer as it will be written."""

    parts: Parts
    report: LayerReport


def candidates(format: str) -> tuple[str, ...]:
    """The formats that `format` lets a weight be stored in; raises `InputError`."""
    from lottoc.backends.onnx import AUTO, FORMATS

    if format not in ("auto", GROUPS, *FORMATS):
        raise input_error(
            "onnx-format",
            f'no ONNX format is called "{format}"',
            help=did_you_mean(format, ["auto", GROUPS, *FORMATS]),
        )
    return AUTO if format in ("auto", GROUPS) else (format,)


def choose(content: Content, formats: tuple[str, ...], values: str) -> dict[str, Choice]:
    """How each masked layer is written, and each that has new weights; by name."""
    chosen: dict[str, Choice] = {}
    for name, weight in content.model.weights.items():
        mask = content.mask(name)
        if mask is not None:
            kept = int(np.count_nonzero(mask))
            chosen[name] = _smallest(content, weight, kept, formats, values)
        elif content.has_new(name):
            whole = masked_weight(content, weight, weight.layer.size, weight.stored.data_type)
            chosen[name] = Choice(dense.encode(whole), layer_report(weight, 0, "", 0))
    return _worth_sharing(content, chosen, formats)


def _smallest(
    content: Content, weight: Weight, kept: int, formats: tuple[str, ...], values: str
) -> Choice:
    from lottoc.backends.onnx import FORMATS

    found: list[Choice] = []
    reasons: list[str] = []
    for format in formats:
        own = weight.stored.data_type
        keep = format == "dense" and len(formats) > 1
        value_type = own if keep else _value_type(values, own)
        masked = masked_weight(content, weight, kept, value_type)
        try:
            parts = FORMATS[format]().encode(masked)
            _check_names(content, parts, weight)
        except Unsuitable as reason:
            reasons.append(str(reason))
            continue
        found.append(Choice(parts, layer_report(weight, kept, format, parts.payload)))
    if not found:
        raise input_error(
            "onnx-format",
            f'layer "{weight.layer.name}" cannot be stored as {formats[0]}: {reasons[0]}',
            file=str(content.model.path),
            help=["with format = auto, each layer gets the smallest format that suits it"],
        )
    return min(found, key=lambda choice: choice.report.nbytes)


def _worth_sharing(
    content: Content, chosen: dict[str, Choice], formats: tuple[str, ...]
) -> dict[str, Choice]:
    """In a tiny model the table that packed layers share may outweigh what they save."""
    sharing = [name for name, choice in chosen.items() if choice.parts.shared]
    if "dense" not in formats or not sharing:
        return chosen
    plain = {name: _smallest_dense(content, chosen[name].report) for name in sharing}
    saved = sum(plain[n].report.nbytes - chosen[n].report.nbytes for n in sharing)
    tables = {t.name: t.nbytes for name in sharing for t in chosen[name].parts.shared}
    shared = sum(tables.values())
    return chosen if saved > shared else {**chosen, **plain}


def _smallest_dense(content: Content, report: LayerReport) -> Choice:
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


def _check_names(content: Content, parts: Parts, weight: Weight) -> None:
    """A decoder's values must not take a name that the model uses."""
    new = {tensor.name for tensor in (*parts.tensors, *parts.shared)}
    new |= {node.output for node in parts.nodes}
    clash = sorted((new & content.model.file.value_names) - {weight.stored.name})
    if clash:
        raise Unsuitable(f'the model already has a value called "{clash[0]}"')


def layer_report(weight: Weight, kept: int, format: str, nbytes: int) -> LayerReport:
    """The report on a layer whose weight has not changed its shape."""
    layer = weight.layer
    itemsize = schema.numpy_type(weight.stored.data_type).itemsize
    return LayerReport(layer.name, layer.shape, kept, format, nbytes, layer.size * itemsize)
