"""`lottoc bench`: dense against compiled, side by side in one process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lottoc.commands.options import Format, FormatOption, Quiet
from lottoc.commands.run import run
from lottoc.diagnostics import Findings, InputError, input_error

if TYPE_CHECKING:
    from lottoc.backends.onnx.bench import Timing

_HEAD = "{:>6} {:>8} {:>12} {:>12} {:>8} {:>9}  error".format(
    "batch", "threads", "dense", "compiled", "speed", "predicted"
)
EXAMPLE = "Example: lottoc bench out/minilm-2of4.onnx --against minilm.onnx --batch 1,8"


def bench(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A compiled .onnx or .pt2 file.")],
    against: Annotated[
        Path,
        typer.Option(
            "--against", metavar="DENSE", help="The same model, dense, in a file of the same kind."
        ),
    ],
    batch: Annotated[str, typer.Option("--batch", help="Batch sizes, e.g. 1,32.")] = "1",
    threads: Annotated[str, typer.Option("--threads", help="Thread counts, e.g. 1,2.")] = "1",
    length: Annotated[
        int, typer.Option("--length", min=1, help="Size of open dimensions but the first.")
    ] = 128,
    samples: Annotated[
        int, typer.Option("--samples", min=1, help="Interleaved samples; the median counts.")
    ] = 15,
    format: FormatOption = Format.text,
    quiet: Quiet = False,
) -> None:
    """Time a compiled model beside the dense one on made-up inputs, in onnxruntime or in torch."""
    batches, counts = _numbers(batch, "--batch"), _numbers(threads, "--threads")

    def work(findings: Findings) -> dict[str, Any]:
        for path in (file, against):
            if not path.is_file():
                raise input_error("model-not-found", f"there is no model {path}", file=str(path))
        savings = _savings(file)
        shown = format is Format.text and not quiet
        timings: list[dict[str, Any]] = []
        options = {"batches": batches, "threads": counts, "samples": samples}
        for timing in _measure(against, file, length, options):
            if shown and not timings:
                print(_sizes(file, against), _HEAD, sep="\n")
            if shown:
                print(_line(timing, _predicted(timing, savings)), flush=True)
            predicted = _predicted(timing, savings)
            more = {"speedup": timing.speedup, "predicted_speedup": predicted}
            timings.append({**asdict(timing), **more})
        return {"timings": timings, "bytes": file.stat().st_size, "against": str(against)}

    run(work, format, quiet=quiet)


def _measure(against: Path, file: Path, length: int, options: dict[str, Any]) -> Iterator[Timing]:
    if file.suffix == against.suffix == ".pt2":
        from lottoc.backends.fx.bench import bench as in_torch

        return in_torch(against, file, **options)
    from lottoc.backends.onnx.bench import bench as in_onnxruntime

    return in_onnxruntime(against, file, length=length, **options)


def _numbers(text: str, option: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise typer.BadParameter(f"{json.dumps(text)} is no list like 1,8", param_hint=option)
    return numbers


def _sizes(file: Path, against: Path) -> str:
    small, large = file.stat().st_size, against.stat().st_size
    return f"{file.name}: {small / 1e6:.2f} MB, {small / large:.1%} of {against.name}"


def _savings(file: Path) -> dict[tuple[int, int], float]:
    """Seconds that were predicted to be saved, by batch size and threads; from the report."""
    from lottoc.commands.report import read_artefacts

    try:
        artefacts = read_artefacts(file.parent / "report.json")
    except InputError:
        return {}
    savings: dict[tuple[int, int], float] = {}
    for artefact in artefacts:
        for layer in artefact["layers"] if artefact["path"] == file.name else ():
            form = layer["format"]
            for each in layer["predicted"] if form in ("groups", "csr") else ():
                key = (each["batch"], each["threads"])
                savings[key] = savings.get(key, 0.0) + (each["dense"] - each[form]) * 1e-6
    return savings


def _predicted(timing: Timing, savings: dict[tuple[int, int], float]) -> float | None:
    """The speed-up that the dense model's time and the layers' predictions amount to."""
    saving = savings.get((timing.batch, timing.threads))
    if saving is None or saving >= timing.dense:
        return None
    return timing.dense / (timing.dense - saving)


def _line(timing: Timing, predicted: float | None) -> str:
    expected = "–" if predicted is None else f"{predicted:.2f}×"
    dense, compiled = timing.dense * 1e3, timing.compiled * 1e3
    return (
        f"{timing.batch:>6} {timing.threads:>8} {dense:>9.3f} ms {compiled:>9.3f} ms "
        f"{timing.speedup:>7.2f}× {expected:>9}  {timing.relative:.1e}"
    )
