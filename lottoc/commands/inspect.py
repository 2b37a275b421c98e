"""`lottoc inspect`: what a model file holds, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lottoc.commands.options import Format, FormatOption, Quiet
from lottoc.commands.run import run
from lottoc.diagnostics import Findings

if TYPE_CHECKING:
    from lottoc.backends.onnx import InspectedLayer

EXAMPLE = "Example: lottoc inspect out/minilm-2of4.onnx"


def inspect(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="An .onnx file, of any origin, a .pt2 file, or an adapter."
        ),
    ],
    format: FormatOption = Format.text,
    quiet: Quiet = False,
) -> None:
    """Show how each prunable layer is stored, what it keeps, and the pattern it follows."""

    def work(_: Findings) -> dict[str, Any]:
        layers, size = _read(file)
        if format is Format.text and not quiet:
            print(_table(file, layers, size))
        return {"file": str(file), "bytes": size, "layers": [_plain(layer) for layer in layers]}

    run(work, format, quiet=quiet)


def _read(file: Path) -> tuple[Sequence[InspectedLayer], int]:
    """The layers of a file, and its size with what lies beside it."""
    if file.suffix == ".pt2":
        from lottoc.backends.fx.contents import inspect as read_program

        return read_program(file), file.stat().st_size
    if file.suffix == ".safetensors":
        from lottoc.adapters.contents import inspect as read_adapter

        return read_adapter(file), file.stat().st_size
    from lottoc.backends.onnx import inspect as read
    from lottoc.frontends.onnx_model import open_onnx

    return read(file), open_onnx(file).file_bytes


def _plain(found: InspectedLayer) -> dict[str, Any]:
    layer = found.layer
    return {
        "name": layer.name,
        "kind": layer.kind,
        "dtype": layer.dtype,
        "shape": list(layer.shape),
        "format": found.format,
        "weights": layer.size,
        "kept": found.nonzeros,
        "sparsity": found.sparsity,
        "pattern": found.pattern,
        "bytes": found.nbytes,
        "values": found.values,
        "rounding": found.rounding,
        "activations": getattr(found, "activations", ""),
    }


_HEAD = ("layer", "shape", "format", "values", "kept", "sparsity", "pattern", "bytes")


def _table(file: Path, layers: Sequence[InspectedLayer], size: int) -> str:
    if not layers:
        return f"{file}: no prunable layers, {size:,} bytes"
    rows = [_HEAD, *map(_row, layers)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(_cells(row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, _summary(file, layers, size)])


def _row(found: InspectedLayer) -> tuple[str, ...]:
    return (
        found.layer.name,
        "×".join(map(str, found.layer.shape)),
        found.format,
        value_text(found.values, found.rounding, getattr(found, "activations", "")),
        f"{found.nonzeros:,}",
        f"{found.sparsity:.2%}",
        found.pattern,
        f"{found.nbytes:,}",
    )


def value_text(values: str, rounding: float, activations: str = "") -> str:
    """The type of stored numbers, the relative error of that, and the type of activations."""
    text = f"{values} ±{rounding:.2g}" if rounding else values or "–"
    return f"{text}, activations {activations}" if activations else text


def _cells(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Words to the left, numbers to the right."""
    return [
        cell.rjust(width) if name in ("kept", "sparsity", "bytes") else cell.ljust(width)
        for cell, width, name in zip(row, widths, _HEAD, strict=True)
    ]


def _summary(file: Path, layers: Sequence[InspectedLayer], size: int) -> str:
    weights = sum(math.prod(found.layer.shape) for found in layers)
    if layers[0].format == "xor":
        moved = sum(found.nonzeros for found in layers)
        share = f"{moved:,} of {weights:,} weights move"
        return f"{file.name}: {size:,} bytes, {share}, {moved / weights:.2%}"
    zeros = weights - sum(found.nonzeros for found in layers)
    return f"{file.name}: {size:,} bytes, {zeros / weights:.2%} of {weights:,} weights are zero"
