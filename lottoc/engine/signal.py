"""Computes what asks for a network's graph: its wiring, repairs, and layers without signal."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xdsl.ir import SSAValue

from lottoc.ir import lotto, mask
from lottoc.ir.plain import strings
from lottoc.masks.mask import Mask
from lottoc.masks.signal import Loss, Lost, Wiring, find_loss

if TYPE_CHECKING:
    from lottoc.frontends.onnx_model import OnnxModel

Value = Callable[[SSAValue], Any]

APART = 1 << 25
"""Bytes: it is worth a process of its own to give memory back after so large a model."""


def wiring(op: lotto.WiringOp, value: Value) -> Wiring:
    """The wiring of a model, under the names that its layers have in the signature."""
    from lottoc.frontends.onnx_model import open_onnx

    model = value(op.model)
    assert isinstance(op.model.owner, lotto.ModelOp)
    if op.model.owner.source.data == "onnx":
        return _read(model, numbers=True)
    assert op.data is not None
    with tempfile.TemporaryDirectory(prefix="lottoc-wiring-") as folder:
        path, sample = Path(folder, "model.onnx"), value(op.data).split("train").x[:2]
        model.export_onnx(model.initial_state(0), sample, path)
        return _read(open_onnx(path), numbers=False)


def _read(model: OnnxModel, *, numbers: bool) -> Wiring:
    from lottoc.backends.onnx.apart import call_apart
    from lottoc.backends.onnx.structure.wiring import read_wiring

    names = {weight.stored.name: name for name, weight in model.weights.items()}
    if model.file_bytes >= APART:
        return call_apart(read_wiring, model.path, names, numbers)
    return read_wiring(model.path, names, numbers)


def repair(op: mask.RepairOp, value: Value) -> list[Mask]:
    """Masks under which every layer carries signal, as far as they can."""
    from lottoc.masks.repair import repair as repaired

    names = strings(op.layers)
    scores = dict(zip(names, op.scores, strict=True))
    masks = {name: value(old) for name, old in zip(names, op.kept, strict=True)}
    within = {name: value(old) for name, old in zip(names, op.within, strict=False)}
    result = repaired(value(op.wiring), masks, lambda name: value(scores[name]), within)
    return [result.masks[name] for name in names]


def loss(wiring: Wiring, masks: Mapping[str, Mask]) -> Loss:
    """What masks cut off; an empty layer counts even where the graph does not show it."""
    found = find_loss(wiring, lambda name: masks[name].to_bool() if name in masks else None)
    seen = set(wiring.layers())
    hidden = (Lost(name, "empty") for name, m in masks.items() if name not in seen and not m.kept)
    return Loss(found.outputs, (*found.layers, *hidden))


def collapsed(op: lotto.MeasureOp, value: Value) -> int:
    """How many layers carry no signal, or without a wiring keep nothing."""
    masks: Mapping[str, Mask] = value(op.masks)
    if op.wiring is None:
        return sum(m.kept == 0 for m in masks.values())
    return len(loss(value(op.wiring), masks).layers)
