"""The front half of the compiler: a recipe's path in, a checked program out.

It loads neither the IR nor the engine, so that `lottoc check` answers at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lottoc.catalog import Catalog
from lottoc.diagnostics import Findings, RecipeError, Source
from lottoc.engine.store import Store
from lottoc.grammar.parser import parse, parse_value
from lottoc.grammar.syntax import Recipe
from lottoc.lower.check import check
from lottoc.lower.program import Program
from lottoc.progress import Progress, Silent, Trace, untraced
from lottoc.recipe_file import read

IR_SUFFIX = ".mlir"


@dataclass(frozen=True)
class Request:
    """What to compile, a recipe or IR text, and with what."""

    recipe: Path
    store: Store
    defines: Mapping[str, str] = field(default_factory=dict)
    progress: Progress = field(default_factory=Silent)
    trace: Trace = untraced


def front(
    request: Request, findings: Findings, *, deep: bool, settle: bool = True
) -> tuple[Source, Program]:
    """Parse and check a recipe; without `deep` no model code runs and no data is opened.

    What ranks and searches find is measured, unless `settle` is false: then a candidate stands in.
    Raises `RecipeError` or `InputError` with everything that is wrong.
    """
    source = read(request.recipe)
    folder = Path(os.path.relpath(request.recipe.parent))
    tree = _parse(source, folder, request.store)
    defines = {
        name: parse_value(Source(f"-D {name}", text)) for name, text in request.defines.items()
    }
    own, catalog = Findings(), Catalog(request.store, deep)
    program = check(tree, folder, catalog, defines, own)
    if deep and settle and catalog.stand_ins and program is not None:
        # nothing is wrong with the recipe, so what it leaves open may now be measured
        own, catalog = Findings(), Catalog(request.store, deep, True, request.progress)
        program = check(tree, folder, catalog, defines, own)
    findings.diagnostics += own.diagnostics
    findings.inputs += own.inputs
    findings.raise_errors()
    assert program is not None
    if not settle:
        _note_stand_ins(catalog, program, findings)
    return source, program


def _parse(source: Source, folder: Path, store: Store) -> Recipe:
    """The tree of a recipe; if its syntax is wrong, what else is wrong is told in the same run."""
    try:
        return parse(source)
    except RecipeError as error:
        from lottoc.lower.partly import all_errors

        catalog = Catalog(store, deep=False)
        raise RecipeError(all_errors(source, error.diagnostics, folder, catalog)) from error


def _note_stand_ins(catalog: Catalog, program: Program, findings: Findings) -> None:
    """Note what tickets were checked with, where a rank or a search has yet to find their model."""
    models = {ticket.model for ticket in program.tickets.values()}
    asked = {rank.name: rank.span for rank in program.ranks}
    asked |= {s.name: s.span for s in program.searches if s.best in models}
    for name, model in catalog.stand_ins.items():
        if name in asked:
            findings.note(
                "best-unknown",
                f'"{name}.best" is not known yet, so its tickets were checked with {model}',
                asked[name],
                help="lottoc compile  finds it, and checks them again",
            )


def note_unknown_layers(program: Program, findings: Findings) -> None:
    """Note the models whose layers are not known yet, so that selections went unchecked."""
    for name in program.unknown_models:
        findings.note(
            "layers-unknown",
            f'the layers of "{name}" are not known yet, so selections were not checked',
            program.models[name].span,
            help="lottoc check --load-models  loads the model once and remembers its layers",
        )
