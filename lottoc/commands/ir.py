"""`lottoc ir`: a recipe as the compiler sees it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lottoc.commands.options import Define, Format, Recipe, Stage, StoreFolder
from lottoc.commands.run import request, run
from lottoc.diagnostics import Findings

EXAMPLE = "Example: lottoc ir --stage masks lenet.lotto"


def ir(
    recipe: Recipe,
    stage: Annotated[Stage, typer.Option("--stage", help="Which level.")] = Stage.recipe,
    define: Define = None,
    store: StoreFolder = None,
) -> None:
    """Print a recipe's intermediate representation."""

    def work(findings: Findings) -> dict[str, Any]:
        from lottoc.driver import mask_ir, recipe_ir
        from lottoc.front import front
        from lottoc.ir.text import to_text

        asked = request(recipe, define, store, quiet=True)
        _, program = front(asked, findings, deep=True)
        module = recipe_ir(asked, program)
        print(to_text(mask_ir(module) if stage is Stage.masks else module), end="")
        return {}

    run(work, Format.text)
