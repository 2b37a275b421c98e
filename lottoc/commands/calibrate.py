"""`lottoc calibrate`: measures what layers take on this machine, for `format = auto`."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lottoc.commands.options import Format, FormatOption, Quiet
from lottoc.commands.run import run
from lottoc.diagnostics import Findings

EXAMPLE = 'Example: lottoc calibrate -o mine.toml, and in a recipe  target = "mine.toml"'


class Kind(StrEnum):
    """What a model will run on."""

    onnxruntime_cpu = "onnxruntime-cpu"


def calibrate(
    target: Annotated[Kind, typer.Option("--target", help="What to measure.")] = (
        Kind.onnxruntime_cpu
    ),
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The target file to write.")
    ] = Path("target.toml"),
    threads: Annotated[
        str, typer.Option("--threads", help="Thread counts, e.g. 1,4 [default: 1 and all cores].")
    ] = "",
    format: FormatOption = Format.text,
    quiet: Quiet = False,
) -> None:
    """Measure layers of many shapes in onnxruntime, about half a minute a thread count."""
    counts = _threads(threads)

    def work(_: Findings) -> dict[str, Any]:
        from lottoc.backends.onnx.calibrate import calibrate as measure
        from lottoc.backends.onnx.calibrate import cells
        from lottoc.backends.onnx.target import write_target
        from lottoc.progress import for_stream
        from lottoc.whole_file import write_whole

        write_whole(output, output.read_text(encoding="utf-8") if output.is_file() else "")
        progress = for_stream(sys.stderr, quiet=quiet or format is not Format.text)
        with progress.task("measuring layers", cells() * len(counts)) as advance:
            found = measure(counts, advance)
        write_whole(output, write_target(found))
        if format is Format.text and not quiet:
            print(f'{output}: use it with  target = "{output.name}"')
        return {"file": str(output), "machine": found.machine, "threads": counts}

    run(work, format, quiet=quiet)


def _threads(text: str) -> list[int]:
    if not text:
        return sorted({1, os.cpu_count() or 1})
    try:
        counts = sorted({int(part) for part in text.split(",")})
    except ValueError:
        counts = [0]
    if counts[0] < 1:
        raise typer.BadParameter(f'"{text}" is no list like 1,4', param_hint="--threads")
    return counts
