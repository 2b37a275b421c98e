"""Compiling several recipes in one run: each into a folder of its own, none stopped by another."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lottoc.depfile import Rule, to_text
from lottoc.diagnostics import Diagnostic, Findings, LottoError, RecipeError
from lottoc.several import own_errors, together
from lottoc.whole_file import write_whole

if TYPE_CHECKING:
    from lottoc.driver import Outcome
    from lottoc.front import Request

Shown = Callable[[Path, "Outcome | LottoError"], None]
"""Told how each recipe ended, as soon as it has."""


class Fault(LottoError):
    """A fault of lottoc's own in one of several recipes."""

    exit_code = 4

    def __init__(self, recipe: Path, error: Exception) -> None:
        message = f"{recipe}: {type(error).__name__}: {error}"
        help = ("this is a fault of lottoc; please report it with the recipe",)
        super().__init__([Diagnostic("internal", message, help=help)])


@dataclass
class Builds:
    """The recipes of one run and how they ended."""

    output: Path
    shown: Shown
    several: bool = False
    rules: list[Rule] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    errors: list[LottoError] = field(default_factory=list)

    def run(self, requests: Sequence[Request], findings: Findings) -> dict[str, Any]:
        """Compile every recipe; gives what `--format json` prints, raises as `together` does."""
        self.several = len(requests) > 1
        folders = folders_of([request.recipe for request in requests], self.output)
        for request, folder in zip(requests, folders, strict=True):
            with own_errors(findings) as own:
                self._one(request, folder, own)
        return together(self.results, self.errors, "builds")

    def write_depfile(self, path: Path) -> None:
        """Write which files depend on which, whole or not at all."""
        write_whole(path, to_text(self.rules))

    def _one(self, request: Request, folder: Path, findings: Findings) -> None:
        from lottoc.driver import compile_recipe

        try:
            outcome = compile_recipe(request, folder, findings)
        except LottoError as error:
            self._failed(request.recipe, error)
        except Exception as error:
            if not self.several or os.environ.get("LOTTOC_TRACEBACK"):
                raise
            self._failed(request.recipe, Fault(request.recipe, error))
        else:
            self.rules.append(Rule(_targets(outcome), outcome.inputs))
            self.results.append({"recipe": str(request.recipe), "exit_code": 0, **_plain(outcome)})
            self.shown(request.recipe, outcome)

    def _failed(self, recipe: Path, error: LottoError) -> None:
        self.errors.append(error)
        self.results.append({"recipe": str(recipe), "exit_code": error.exit_code})
        self.shown(recipe, error)


def folders_of(recipes: Sequence[Path], output: Path) -> list[Path]:
    """Where each recipe is written: the output folder for one, OUTPUT/STEM for several.

    Raises `RecipeError` (same-output) for two of the same stem.
    """
    if len(recipes) == 1:
        return [output]
    first: dict[str, Path] = {}
    for recipe in recipes:
        if recipe.stem in first:
            message = f"{first[recipe.stem]} and {recipe} would both be written to "
            message += str(output / recipe.stem)
            help = ("compile them apart, each with a folder of its own: -o FOLDER",)
            raise RecipeError([Diagnostic("same-output", message, help=help)])
        first[recipe.stem] = recipe
    return [output / recipe.stem for recipe in recipes]


def _targets(outcome: Outcome) -> tuple[Path, ...]:
    """Everything that was written."""
    folder = outcome.report.parent
    artefacts = [folder / artefact.path for artefact in outcome.artefacts]
    outside = [path.with_name(f"{path.name}.data") for path in artefacts]
    return (*artefacts, *(path for path in outside if path.exists()), outcome.report)


def _plain(outcome: Outcome) -> dict[str, Any]:
    folder = outcome.report.parent
    return {
        "report": str(outcome.report),
        "computed": outcome.computed,
        "artefacts": [
            {
                "path": str(folder / artefact.path),
                "ticket": artefact.ticket,
                "bytes": artefact.bytes,
                "sha256": artefact.sha256,
            }
            for artefact in outcome.artefacts
        ],
    }
