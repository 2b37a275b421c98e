"""`lottoc compile`: from recipes to verified artefacts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lottoc.commands.options import (
    Define,
    Format,
    FormatOption,
    Output,
    Quiet,
    Recipes,
    StoreFolder,
    Werror,
)
from lottoc.commands.run import request, run, show_rows
from lottoc.diagnostics import Findings, LottoError

if TYPE_CHECKING:
    from lottoc.driver import Outcome

EXAMPLE = "Example: lottoc compile lenet.lotto -o out -D target=90%"


def compile(
    recipes: Recipes,
    output: Output = Path("lottoc-out"),
    define: Define = None,
    store: StoreFolder = None,
    depfile: Annotated[
        Path | None,
        typer.Option("--depfile", metavar="FILE", help="Write a Makefile of what was read."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell of each result, computed or reused.")
    ] = False,
    format: FormatOption = Format.text,
    quiet: Quiet = False,
    werror: Werror = False,
) -> None:
    """Find the tickets of a recipe, or of IR text (a .mlir file), and write its artefacts.

    Several recipes share one store; each goes to a folder of its own, named after it, in the
    output folder, and the exit code is the worst. It is
    0 when every artefact is written and every require holds, 1 when a require fails,
    2 on an error in the recipe, 3 on bad input data or models, 4 on an internal fault.
    """

    def work(findings: Findings) -> dict[str, Any]:
        from lottoc.builds import Builds

        silent = quiet or format is not Format.text
        trace = _log if verbose and not quiet else None
        asked = [request(r, define, store, quiet=silent, trace=trace) for r in recipes]
        builds = Builds(output, _Shown(format, quiet, several=len(recipes) > 1))
        result = builds.run(asked, findings)
        if depfile is not None:
            builds.write_depfile(depfile)
        return result

    run(work, format, quiet=quiet, werror=werror)


def _log(verb: str, what: str, key: str) -> None:
    """One line of `--verbose`."""
    print(f"{verb:<8}  {key[:12]}  {what}", file=sys.stderr)


class _Shown:
    """Prints how each recipe ended."""

    def __init__(self, format: Format, quiet: bool, *, several: bool) -> None:
        self.text, self.quiet, self.several = format is Format.text, quiet, several

    def __call__(self, recipe: Path, ended: Outcome | LottoError) -> None:
        if not self.text:
            return
        if self.several and not self.quiet:
            print(f"{recipe}:" if not isinstance(ended, LottoError) else f"{recipe}: failed")
        if isinstance(ended, LottoError):
            if self.several:
                show_rows(ended)
        elif not self.quiet:
            _print(ended)


def _print(outcome: Outcome) -> None:
    from lottoc.report.table import (
        approximations,
        outcome_table,
        rank_tables,
        sanity_tables,
        stability_tables,
    )

    tickets = [outcome_table(outcome.tickets, outcome.artefacts)] if outcome.tickets else []
    for table in (
        *tickets,
        *sanity_tables(outcome.controls),
        *rank_tables(outcome.ranks),
        *stability_tables(outcome.stabilities),
        *approximations(outcome.tickets),
    ):
        print(table)
    made = f"{outcome.computed} results computed, {outcome.trained} of them trainings"
    reused = made if outcome.computed else "all results reused"
    print(f"report: {outcome.report}  ({reused})")
