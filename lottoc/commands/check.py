"""`lottoc check`: everything that can be said without data, training or torch."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lottoc.commands.options import (
    Define,
    Format,
    FormatOption,
    Quiet,
    Recipe,
    StoreFolder,
    Werror,
)
from lottoc.commands.run import request, run
from lottoc.diagnostics import Findings

EXAMPLE = "Example: lottoc check lenet.lotto"


def check(
    recipe: Recipe,
    define: Define = None,
    store: StoreFolder = None,
    format: FormatOption = Format.text,
    quiet: Quiet = False,
    werror: Werror = False,
    load_models: Annotated[
        bool, typer.Option("--load-models", help="Load torch models to learn their layers.")
    ] = False,
) -> None:
    """Check types and shapes; no data is opened and nothing is trained."""

    def work(findings: Findings) -> dict[str, Any]:
        from lottoc.front import front, note_unknown_layers

        asked = request(recipe, define, store, quiet=True)
        _, program = front(asked, findings, deep=load_models)
        note_unknown_layers(program, findings)
        if format is Format.text and not quiet:
            tickets = len([t for t in program.tickets if t != "dense"])
            made = f"{_count(tickets, 'ticket')}, {_count(len(program.emits), 'artefact')}"
            print(f"{recipe}: {made}: no errors")
        return {"tickets": list(program.tickets)}

    run(work, format, quiet=quiet, werror=werror)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
