"""Chooses how each masked layer of a torch model is stored and run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from lottoc.backends.fx import FORMATS, cost
from lottoc.backends.fx.network import Network
from lottoc.backends.fx.representation import MaskedWeight, Unsuitable, dtype_of, name_of, rounded
from lottoc.backends.fx.target import Target
from lottoc.diagnostics import did_you_mean, input_error
from lottoc.signature import Layer

REMOVED = "removed"
"""The format of a layer that the network does not use: it is not in the file."""


@dataclass(frozen=True)
class LayerReport:
    """How one layer was written; `nbytes` counts what is stored of it, `dense_bytes` the weights.

    `values` is the type that values are stored in, `rounding` the relative error that it brought
    (|stored - asked| / |asked|). `units` is [out, in] of the stored weight, where dead units have
    left it. `predicted` is what the layer takes on the target, where that is
    known.
    """

    name: str
    shape: tuple[int, ...]
    kept: int
    format: str
    values: str
    nbytes: int
    dense_bytes: int
    rounding: float = 0.0
    predicted: tuple[cost.Prediction, ...] = ()
    units: tuple[int, ...] = ()

    @property
    def sparsity(self) -> float:
        """Fraction of zeros that the mask demands."""
        return 1 - self.kept / max(1, torch.Size(self.shape).numel())


@dataclass(frozen=True)
class Choice:
    """A layer as it will be written."""

    weight: MaskedWeight
    stored: dict[str, torch.Tensor]
    report: LayerReport


def candidates(format: str, target: Target) -> tuple[str, ...]:
    """The formats that `format` lets a weight be stored in; raises `InputError`."""
    if format == "auto":
        return ("dense", "semi_structured") if target.sparse else ("dense", "csr")
    if format not in FORMATS:
        raise input_error(
            "fx-format",
            f'no fx format is called "{format}"',
            help=did_you_mean(format, ["auto", *FORMATS]),
        )
    return (format,)


def choose(
    network: Network,
    layer: Layer,
    calls: list[int] | None,
    formats: tuple[str, ...],
    values: str,
    target: Target,
    batches: tuple[int, ...],
) -> Choice:
    """How a masked layer is written: of several ways, the fastest known or else the smallest.

    `calls` has the rows that an example brings to each linear layer that reads the weight, None
    if it is read otherwise. Raises `InputError` (fx-format) if no format suits it.
    """
    found: dict[str, Choice] = {}
    reasons: list[str] = []
    for format in formats:
        weight = _weight(network, layer, format, values, target)
        try:
            stored = FORMATS[format]().encode(weight)
        except Unsuitable as reason:
            reasons.append(str(reason))
            continue
        found[format] = Choice(weight, stored, _report(weight, format, stored))
    if not found:
        raise input_error(
            "fx-format",
            f'layer "{layer.name}" cannot be stored as {formats[0]}: {reasons[0]}',
            help=("with format = auto, each layer gets a format that suits it",),
        )
    costs = cost.read_costs(cost.MEASURED)
    if costs and found.keys() == {"dense", "csr"}:
        return _faster(found, costs, calls, batches)
    return min(found.values(), key=lambda choice: choice.report.nbytes)


def _faster(
    found: dict[str, Choice],
    costs: Sequence[cost.Costs],
    calls: list[int] | None,
    batches: tuple[int, ...],
) -> Choice:
    """Compressed rows if they pay, with what was predicted."""
    report = found["csr"].report
    if not calls:
        return found["dense"]
    predicted = cost.predict(costs, report.shape, report.kept, calls, batches)
    choice = found["csr" if cost.pays(predicted) else "dense"]
    return replace(choice, report=replace(choice.report, predicted=predicted))


def _weight(
    network: Network, layer: Layer, format: str, values: str, target: Target
) -> MaskedWeight:
    value = network.weight(layer)
    dtype = value.dtype
    if format == "semi_structured":
        own = name_of(dtype)
        dtype = dtype_of(target.narrow.get(own, own) if values == "same" else values)
        dtype = dtype if dtype.itemsize < value.dtype.itemsize else value.dtype
    kept = network.kept[layer.name]
    return MaskedWeight(layer, network.aliases(layer), value, kept, dtype, target)


def _report(weight: MaskedWeight, format: str, stored: dict[str, torch.Tensor]) -> LayerReport:
    return LayerReport(
        weight.layer.name,
        weight.shape,
        int(weight.kept.sum()),
        format,
        name_of(weight.dtype),
        sum(tensor.nbytes for tensor in stored.values()),
        weight.value.nbytes,
        _rounding(weight),
    )


def _rounding(weight: MaskedWeight) -> float:
    if weight.dtype == weight.value.dtype:
        return 0.0
    asked = weight.value.double()
    change, size = rounded(weight.value, weight.dtype).double() - asked, float(asked.norm())
    # three digits: the sums may be taken in another order
    return float(f"{float(change.norm()) / size:.3g}") if size else 0.0
