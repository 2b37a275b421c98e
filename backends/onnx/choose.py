"""Chooses how each masked layer of a model is stored: in the smallest of some formats."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from lottoc.backends.onnx import dense
from lottoc.backends.onnx.pruned import Content, masked_weight
from lottoc.backends.onnx.representation import Parts, Unsuitable
from lottoc.backends.onnx.structure.cost import Prediction
from lottoc.backends.onnx.values import NAMES, relative_error, rounded
from lottoc.diagnostics import did_you_mean, input_error
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.onnx_layers import Weight
from lottoc.frontends.onnx_schema import DataType

GROUPS = "groups"
"""A format of the graph, not of a weight: layers are rewritten before their weights are stored."""


@dataclass(frozen=True)
class LayerReport:
    """How one layer was written; `nbytes` counts data and decoder, `dense_bytes` the weights.

    `values` is the type of the stored numbers, `rounding` what storing them in it changed:
    |stored - asked| / |asked| over the kept weights, in the Euclidean norm.
    `units` is [out, in] of the stored weight, smaller than `shape` where dead units have left.
    `order` is `permuted`, or why it was kept, of the channels that an N:M layer reads; empty where
    none was searched. `predicted` is what the layer takes on the target, where it could be run in
    groups. `activations` is the type that the layer multiplies in, empty if that is its own, and
    `floats` why it is its own where int8 was asked.
    """

    name: str
    shape: tuple[int, ...]
    kept: int
    format: str
    nbytes: int
    dense_bytes: int
    values: str = ""
    rounding: float = 0.0
    units: tuple[int, ...] = ()
    order: str = ""
    predicted: tuple[Prediction, ...] = ()
    activations: str = ""
    floats: str = ""

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
    chosen = _worth_sharing(content, chosen, formats, values)
    return {name: _with_rounding(content, choice) for name, choice in chosen.items()}


def _smallest(
    content: Content, weight: Weight, kept: int, formats: tuple[str, ...], values: str
) -> Choice:
    from lottoc.backends.onnx import FORMATS

    found: list[Choice] = []
    reasons: list[str] = []
    own = weight.stored.data_type
    asked = _value_type(values, own)
    types = {asked, own} if len(formats) > 1 else {asked}
    small = weight.stored.name in content.small
    if small:  # the runtime has to find the numbers there when it loads the layer
        formats, types = ("narrow",), {int(DataType.INT8)}
    for format, value_type in itertools.product(formats, sorted(types)):
        masked = masked_weight(content, weight, kept, value_type)
        try:
            parts = FORMATS[format]().encode(masked)
            _check_names(content, parts, weight)
        except Unsuitable as reason:
            reasons.append(str(reason))
            continue
        report = layer_report(weight, kept, format, parts.payload)
        report = replace(report, values=NAMES[value_type], activations="int8" if small else "")
        found.append(Choice(parts, report))
    if not found:
        raise input_error(
            "onnx-format",
            f'layer "{weight.layer.name}" cannot be stored as {formats[0]}: {reasons[0]}',
            file=str(content.model.path),
            help=["with format = auto, each layer gets the smallest format that suits it"],
        )
    return min(found, key=lambda choice: choice.report.nbytes)


def _with_rounding(content: Content, choice: Choice) -> Choice:
    """The choice with what the type of its values has changed."""
    report = choice.report
    own = content.model.weights[report.name].stored.data_type
    if report.values == NAMES[own]:
        return choice
    value_type = next(key for key, name in NAMES.items() if name == report.values)
    masked = content.masked(report.name)
    error = relative_error(masked, rounded(masked, own, value_type))
    return replace(choice, report=replace(report, rounding=float(f"{error:.3g}")))


def _worth_sharing(
    content: Content, chosen: dict[str, Choice], formats: tuple[str, ...], values: str
) -> dict[str, Choice]:
    """In a tiny model the table that packed layers share may outweigh what they save."""
    sharing = [name for name, choice in chosen.items() if choice.parts.shared]
    if "dense" not in formats or not sharing:
        return chosen
    others = tuple(format for format in formats if format != "packed")
    plain = {}
    for name in sharing:
        weight, kept = content.model.weights[name], chosen[name].report.kept
        plain[name] = _smallest(content, weight, kept, others, values)
    saved = sum(plain[n].report.nbytes - chosen[n].report.nbytes for n in sharing)
    tables = {t.name: t.nbytes for name in sharing for t in chosen[name].parts.shared}
    shared = sum(tables.values())
    return chosen if saved > shared else {**chosen, **plain}


def _value_type(values: str, own: int) -> int:
    """The element type asked for, or the weight's own if that is not wider."""
    known = {name: int(data_type) for data_type, name in NAMES.items()}
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
    dense_bytes = layer.size * itemsize
    return LayerReport(layer.name, layer.shape, kept, format, nbytes, dense_bytes, layer.dtype)
