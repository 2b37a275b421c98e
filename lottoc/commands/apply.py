"""`lottoc apply`: a base model with adapters applied."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lottoc.commands.options import Format, FormatOption, Quiet
from lottoc.commands.run import run
from lottoc.diagnostics import Findings

EXAMPLE = "Example: lottoc apply minilm/ task.safetensors -o minilm-task/"

Base = Annotated[
    str,
    typer.Argument(metavar="BASE", help="A .safetensors file, a folder of them, or FILE.py:NAME."),
]
Adapters = Annotated[
    list[Path], typer.Argument(metavar="ADAPTER...", help="Files that  emit adapter  wrote.")
]
Output = Annotated[Path, typer.Option("-o", "--output", help="The file, or folder, to write.")]


def apply(
    base: Base,
    adapters: Adapters,
    output: Output,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="What the weights of FILE.py:NAME are drawn from.")
    ] = 0,
    format: FormatOption = Format.text,
    quiet: Quiet = False,
) -> None:
    """Write a base model with adapters applied; `unapply` gives it back, byte by byte.

    Exits 3 if an adapter was made from other weights; nothing is written then.
    """
    move(base, adapters, output, format, quiet=quiet, back=False, seed=seed)


def move(
    base: str,
    adapters: list[Path],
    output: Path,
    format: Format,
    *,
    quiet: bool,
    back: bool,
    seed: int = 0,
) -> None:
    """What both commands do."""

    def work(_: Findings) -> dict[str, Any]:
        from lottoc.adapters.base import rewrite

        outcome = rewrite(base, adapters, output, back=back, seed=seed)
        if format is Format.text and not quiet:
            done = "taken back" if back else "applied"
            count = f"{len(adapters)} adapter{'' if len(adapters) == 1 else 's'} {done}"
            print(f"{output}: {count}, {outcome.moved:,} weights in {outcome.tensors} tensors")
        return {"file": str(output), "tensors": outcome.tensors, "moved": outcome.moved}

    run(work, format, quiet=quiet)
