"""`lottoc check`: everything that can be said without data, training or torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lottoc.commands.options import (
    Define,
    Format,
    FormatOption,
    Quiet,
    Recipes,
    StoreFolder,
    Werror,
)
from lottoc.commands.run import request, run
from lottoc.diagnostics import Findings, LottoError
from lottoc.several import own_errors, together

if TYPE_CHECKING:
    from lottoc.front import Request

EXAMPLE = "Example: lottoc check lenet.lotto    or    lottoc check recipes/*.lotto"


def check(
    recipes: Recipes,
    define: Define = None,
    store: StoreFolder = None,
    format: FormatOption = Format.text,
    quiet: Quiet = False,
    werror: Werror = False,
    load_models: Annotated[
        bool, typer.Option("--load-models", help="Load torch models to learn their layers.")
    ] = False,
) -> None:
    """Check types and shapes; no data is opened and nothing is trained.

    Of several recipes each is checked, whatever is wrong with another.
    """

    def work(findings: Findings) -> dict[str, Any]:
        shown = format is Format.text and not quiet
        results: list[dict[str, Any]] = []
        errors: list[LottoError] = []
        for recipe in recipes:
            asked = request(recipe, define, store, quiet=True)
            try:
                tickets = _check(asked, findings, deep=load_models, shown=shown)
                results.append({"recipe": str(recipe), "exit_code": 0, "tickets": tickets})
            except LottoError as error:
                errors.append(error)
                results.append({"recipe": str(recipe), "exit_code": error.exit_code})
        return together(results, errors, "recipes")

    run(work, format, quiet=quiet, werror=werror)


def _check(asked: Request, findings: Findings, *, deep: bool, shown: bool) -> list[str]:
    """Names of the recipe's tickets; its warnings go to `findings`."""
    from lottoc.front import front, note_unknown_layers

    with own_errors(findings) as own:
        _, program = front(asked, own, deep=deep, settle=False)
        note_unknown_layers(program, own)
    if shown:
        tickets = len([t for t in program.tickets if t != "dense"])
        made = f"{_count(tickets, 'ticket')}, {_count(len(program.emits), 'artefact')}"
        print(f"{asked.recipe}: {made}: no errors")
    return list(program.tickets)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
