"""The report of a build: everything that was made and from what, the same bytes every time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from xdsl.dialects.builtin import ModuleOp

from lottoc import __version__
from lottoc.artefacts import Artefact
from lottoc.engine.evaluate import Engine
from lottoc.ir import lotto, mask
from lottoc.ir.plain import strings
from lottoc.masks.mask import Mask
from lottoc.report import stability
from lottoc.report.origin import Origin
from lottoc.report.ranking import as_data, rankings
from lottoc.report.repairs import repairs_of

PACKAGES = ("numpy", "onnx", "onnxruntime", "torch")


@dataclass
class TicketRow:
    """A finished ticket: its metrics, its layers, and what was noted on the way."""

    name: str
    metrics: dict[str, float]
    layers: list[dict[str, Any]] = field(default_factory=list)
    moments: list[dict[str, Any]] = field(default_factory=list)
    repairs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """The denominator of the sparsity: all weights of the selected layers."""
        return sum(int(layer["weights"]) for layer in self.layers)

    @property
    def kept(self) -> int:
        """How many of them are kept."""
        return sum(int(layer["kept"]) for layer in self.layers)


def ticket_rows(module: ModuleOp, engine: Engine) -> list[TicketRow]:
    """Every ticket of the recipe, in its order."""
    rows: dict[str, TicketRow] = {}
    for op in module.ops:
        if isinstance(op, lotto.TicketOp):
            values = [engine.value(value) for value in op.values]
            metrics = dict(zip(strings(op.metrics), values, strict=True))
            row = TicketRow(op.ticket.data, metrics, _layers(op, engine))
            row.repairs = repairs_of(op, engine)
            rows[op.ticket.data] = row
    for op in module.ops:
        if isinstance(op, lotto.ObserveOp) and op.ticket.data in rows:
            values = [engine.value(value) for value in op.values]
            moment = dict(zip(strings(op.metrics), values, strict=True))
            rows[op.ticket.data].moments.append({"moment": op.moment.data, **moment})
    return list(rows.values())


@dataclass
class ControlRow:
    """A ticket's metric, and what each control experiment of a `sanity` block made of it."""

    block: str
    ticket: str
    metric: str
    original: float
    controls: dict[str, float] = field(default_factory=dict)

    def drop(self, control: str) -> float:
        """What a control loses."""
        return self.original - self.controls[control]


def control_rows(module: ModuleOp, engine: Engine) -> list[ControlRow]:
    """Every ticket of every `sanity` block, in the recipe's order."""
    rows: dict[tuple[str, str], ControlRow] = {}
    for op in module.ops:
        if isinstance(op, lotto.ControlOp):
            block, ticket, metric = op.block.data, op.ticket.data, op.metric.data
            original = engine.value(op.original)
            row = rows.setdefault((block, ticket), ControlRow(block, ticket, metric, original))
            row.controls[op.control.data] = engine.value(op.changed)
    return list(rows.values())


def _layers(op: lotto.TicketOp, engine: Engine) -> list[dict[str, Any]]:
    if op.masks is None:
        return []
    bundle = op.masks.owner
    assert isinstance(bundle, mask.BundleOp)
    result = []
    for name, value in zip(strings(bundle.layers), bundle.masks, strict=True):
        layer: Mask = engine.value(value)
        result.append(
            {
                "name": name,
                "shape": list(layer.shape),
                "weights": layer.size,
                "kept": layer.kept,
                "sparsity": 1 - layer.kept / layer.size,
                "pattern": str(mask.mask_type(value).pattern),
            }
        )
    return result


def build_report(
    origin: Origin,
    module: ModuleOp,
    engine: Engine,
    rows: Sequence[TicketRow],
    artefacts: Sequence[Artefact],
) -> dict[str, Any]:
    """The report as plain data. It holds no time, no path of this machine, nothing that varies."""
    return {
        "lottoc": __version__,
        **origin.text,
        "versions": _versions(),
        "models": origin.models,
        "data": {
            op.data.data: {"digest": op.digest.data}
            for op in module.ops
            if isinstance(op, lotto.DataOp)
        },
        "trainings": origin.trainings,
        "tickets": {row.name: _ticket(row) for row in rows},
        **_sanity(control_rows(module, engine)),
        **as_data(rankings(module, engine)),
        **stability.as_data(stability.stabilities(module, engine)),
        "requires": [
            {
                "text": op.text.data,
                "left": engine.value(op.lhs),
                "right": engine.value(op.rhs),
                "holds": True,  # a build with one that does not hold ends before its report
            }
            for op in module.ops
            if isinstance(op, lotto.RequireOp)
        ],
        "artefacts": [asdict(artefact) for artefact in artefacts],
    }


def _ticket(row: TicketRow) -> dict[str, Any]:
    result: dict[str, Any] = {"metrics": row.metrics}
    if row.layers:
        density = row.kept / row.size
        result |= {
            "weights": row.size,
            "kept": row.kept,
            "density": density,
            "compression": 1 / density if density else None,
            "layers": row.layers,
        }
    if row.moments:
        result["moments"] = row.moments
    if row.repairs:
        result["repaired"] = row.repairs
    return result


def _sanity(rows: Sequence[ControlRow]) -> dict[str, Any]:
    """Block by block and ticket by ticket; nothing if there is no such block."""
    blocks: dict[str, Any] = {}
    for row in rows:
        blocks.setdefault(row.block, {})[row.ticket] = {
            row.metric: row.original,
            "controls": {
                name: {row.metric: value, "drop": row.drop(name)}
                for name, value in row.controls.items()
            },
        }
    return {"sanity": blocks} if blocks else {}


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def to_bytes(report: Mapping[str, Any]) -> bytes:
    """The report as JSON, keys in the order given."""
    return (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode()
