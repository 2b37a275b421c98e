"""`lottoc compile`: from a recipe to verified artefacts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lottoc.commands.options import (
    Define,
    Format,
    FormatOption,
    Output,
    Quiet,
    Recipe,
    StoreFolder,
    Werror,
)
from lottoc.commands.run import request, run
from lottoc.diagnostics import Findings

if TYPE_CHECKING:
    from lottoc.driver import Outcome

EXAMPLE = "Example: lottoc compile lenet.lotto -o out -D target=90%"


def compile(
    recipe: Recipe,
    output: Output = Path("lottoc-out"),
    define: Define = None,
    store: StoreFolder = None,
    format: FormatOption = Format.text,
    quiet: Quiet = False,
    werror: Werror = False,
) -> None:
    """Find the tickets of a recipe, or of IR text (a .mlir file), and write its artefacts.

    Exits 0 when every artefact is written and every require holds, 1 when a require fails,
    2 on an error in the recipe, 3 on bad input data or models, 4 on an internal fault.
    """

    def work(findings: Findings) -> dict[str, Any]:
        from lottoc.driver import compile_recipe
        from lottoc.report.table import outcome_table

        asked = request(recipe, define, store, quiet=quiet or format is not Format.text)
        outcome = compile_recipe(asked, output, findings)
        if format is Format.text and not quiet:
            print(outcome_table(outcome.tickets, outcome.artefacts))
            print(_summary(outcome))
        return {"report": str(outcome.report), "computed": outcome.computed}

    run(work, format, quiet=quiet, werror=werror)


def _summary(outcome: Outcome) -> str:
    made = f"{outcome.computed} results computed, {outcome.trained} of them trainings"
    return f"report: {outcome.report}  ({made if outcome.computed else 'all results reused'})"
