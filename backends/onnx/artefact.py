"""Writes and verifies the ONNX artefact of a ticket, for the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx.emit import LayerReport, emit
from lottoc.backends.onnx.verify import VerifyReport, verify
from lottoc.diagnostics import did_you_mean, input_error
from lottoc.frontends.onnx_model import OnnxModel
from lottoc.masks.mask import Mask

T = TypeVar("T")


class Weights(Protocol):
    """The weights of a network, canonical, one layer at a time."""

    def layer(self, name: str) -> NDArray[np.generic]:
        """A layer's weight."""


@dataclass(frozen=True)
class LayerMap(Mapping[str, T]):
    """A value for each of some layers, computed at every access and never kept."""

    names: Iterable[str]
    compute: Callable[[str], T]

    def __getitem__(self, name: str) -> T:
        if name not in self.names:
            raise KeyError(name)
        return self.compute(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return sum(1 for _ in self.names)


def emit_onnx(
    model: OnnxModel,
    path: Path,
    masks: Mapping[str, Mask],
    weights: Weights | None = None,
    format: str = "auto",
    values: str = "same",
    advance: Callable[[], object] = lambda: None,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Write `model` under `masks` to `path` and verify it; `advance` is called after each.

    Returns plain data for a report: the layers as written, and what was verified.
    Raises the errors of `emit` and `verify`, and `onnx-layer` for a mask of no layer of the model.
    """
    for name in masks:
        if name not in model.weights:
            raise input_error(
                "onnx-layer",
                f'the ONNX model has no prunable layer "{name}"',
                file=str(model.path),
                help=did_you_mean(name, model.weights),
            )
    bools = LayerMap(list(masks), lambda name: masks[name].to_bool())
    new = None
    if weights is not None and weights is not model:
        new = LayerMap(list(masks), weights.layer)
    layers = emit(model, path, bools, new, format=format, values=values)
    advance()
    verified = verify(path, model, bools, new)
    advance()
    return [_layer(report) for report in layers], _verified(verified)


def _layer(report: LayerReport) -> dict[str, Any]:
    return {
        "name": report.name,
        "shape": list(report.shape),
        "kept": report.kept,
        "format": report.format,
        "bytes": report.nbytes,
        "dense_bytes": report.dense_bytes,
    }


def _verified(report: VerifyReport) -> dict[str, Any]:
    return {
        "layers": report.layers,
        "zeros": report.zeros,
        "runs": len(report.trials),
        "max_error": report.max_error,
        "max_relative_error": max((t.relative for t in report.trials), default=0.0),
        "not_run": report.not_run,
    }
