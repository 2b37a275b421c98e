"""`lottoc verify`: whether a compiled model is still what was written."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lottoc.commands.options import Format, FormatOption, Quiet
from lottoc.commands.run import run
from lottoc.diagnostics import Findings

if TYPE_CHECKING:
    from lottoc.backends.onnx.alone import Soundness

EXAMPLE = "Example: lottoc verify out/minilm-2of4.onnx"


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A compiled .onnx or .pt2 file.")],
    format: FormatOption = Format.text,
    quiet: Quiet = False,
) -> None:
    """Check a model file alone: its form, its stored weights, that it runs.

    Exits 0 if all holds, 3 if the file is missing, damaged or not what was written.
    """

    def work(_: Findings) -> dict[str, Any]:
        sound = _check(file)
        if format is Format.text and not quiet:
            runner = "torch" if file.suffix == ".pt2" else "onnxruntime"
            print(f"{file}: {_text(sound, runner)}")
        return {"file": str(file), **asdict(sound)}

    run(work, format, quiet=quiet)


def _check(file: Path) -> Soundness:
    if file.suffix == ".pt2":
        from lottoc.backends.fx.contents import check_alone as check_program

        return check_program(file)
    from lottoc.backends.onnx.alone import check_alone

    return check_alone(file)


def _text(sound: Soundness, runner: str) -> str:
    if sound.layers is None:
        counts = "not written by lottoc, so no counts to compare"
    else:
        counts = f"{sound.layers} pruned layer{'' if sound.layers == 1 else 's'} as written"
    if sound.rounding:
        counts += f", values rounded by {sound.rounding:.2g} of their size at most"
    if getattr(sound, "integer_layers", 0):
        counts += f", {sound.integer_layers} in int8 computed again"
    if sound.swaps:
        counts += f", {sound.swaps} swap files too"
    ran = f"not run, {sound.not_run}" if sound.not_run else f"{runner} loads and runs it"
    return f"well formed; {counts}; {ran}"
