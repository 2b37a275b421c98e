"""`lottoc report`: what a build made, layer by layer, read from its `report.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lottoc.commands.inspect import value_text
from lottoc.commands.options import Format, FormatOption, Quiet
from lottoc.commands.run import run
from lottoc.diagnostics import Findings, input_error

EXAMPLE = "Example: lottoc report out"
_HEAD = ("layer", "shape", "kept", "format", "values", "bytes", "of dense", "predicted")


def report(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of a build.")],
    format: FormatOption = Format.text,
    quiet: Quiet = False,
) -> None:
    """Show for each artefact how its layers are stored and run, and what was predicted of them."""

    def work(_: Findings) -> dict[str, Any]:
        path = folder / "report.json" if folder.is_dir() else folder
        artefacts = read_artefacts(path)
        if format is Format.text and not quiet:
            print("\n\n".join(map(_table, artefacts)) or f"{path}: no artefacts")
        return {"artefacts": artefacts}

    run(work, format, quiet=quiet)


def read_artefacts(path: Path) -> list[dict[str, Any]]:
    """What a report says of the artefacts; raises `InputError` (report-invalid)."""
    help = ["give the folder that  lottoc compile -o  wrote to"]
    try:
        artefacts: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["artefacts"]
        for artefact in artefacts:
            _table(artefact)
    except OSError as error:
        message = f"cannot read the report: {error.strerror or error}"
        raise input_error("report-invalid", message, file=str(path), help=help) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = "not a report of lottoc, or of another version"
        raise input_error("report-invalid", message, file=str(path), help=help) from error
    return artefacts


def _table(artefact: dict[str, Any]) -> str:
    rows = [_HEAD, *(_row(layer) for layer in artefact["layers"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [
        "  ".join(
            cell.rjust(width) if name in ("kept", "bytes", "of dense") else cell.ljust(width)
            for cell, width, name in zip(row, widths, _HEAD, strict=True)
        ).rstrip()
        for row in rows
    ]
    size = (
        f"{artefact['bytes']:,} bytes, {artefact['bytes'] / artefact['dense_bytes']:.1%} of dense"
    )
    return "\n".join(
        [
            f"{artefact['path']}: ticket {artefact['ticket']}, {size}",
            "",
            *lines,
            *_orders(artefact),
            *_floats(artefact),
        ]
    )


def _orders(artefact: dict[str, Any]) -> list[str]:
    """Which layers' channels were permuted, and why others' were not; the same reason once."""
    layers: dict[str, list[str]] = {}
    for layer in artefact["layers"]:
        if layer.get("order"):
            layers.setdefault(str(layer["order"]), []).append(str(layer["name"]))
    lines = [f"channels {order}:  {', '.join(names)}" for order, names in layers.items()]
    return ["", *lines] if lines else []


def _floats(artefact: dict[str, Any]) -> list[str]:
    """Which layers in groups multiply in floats though int8 was asked, and why; a reason once."""
    layers: dict[str, list[str]] = {}
    for layer in artefact["layers"]:
        if layer.get("floats"):
            layers.setdefault(str(layer["floats"]), []).append(str(layer["name"]))
    lines = [f"in floats, {reason}:  {', '.join(names)}" for reason, names in layers.items()]
    return ["", *lines] if lines else []


def _row(layer: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(layer["name"]),
        "×".join(map(str, layer["shape"])),
        f"{1 - layer['sparsity']:.2%}",
        str(layer["format"]),
        value_text(layer["values"], layer["rounding"], layer.get("activations", "")),
        f"{layer['nbytes']:,}",
        f"{layer['nbytes'] / layer['dense_bytes']:.1%}",
        _predicted(layer),
    )


def _predicted(layer: dict[str, Any]) -> str:
    """Times for the first thread count, dense beside groups or compressed rows."""
    parts = []
    for each in layer["predicted"]:
        if each["threads"] == layer["predicted"][0]["threads"]:
            other = each["groups"] if "groups" in each else each["csr"]
            ratio = each["dense"] / other
            times = f"{each['dense']:.0f} → {other:.0f} µs"
            parts.append(f"batch {each['batch']}: {times} ({ratio:.2f}×)")
    if parts and layer["format"] not in ("groups", "csr"):
        parts.append("kept dense")
    return ", ".join(parts) or "–"
