"""Everything known of one version of a document: tree, findings, names, and the program."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lottoc.catalog import Catalog
from lottoc.diagnostics import Diagnostic, Findings, LottoError, Source
from lottoc.front import note_unknown_layers
from lottoc.grammar import syntax
from lottoc.grammar.recover import parse_partial
from lottoc.lower.check import survey
from lottoc.lower.partly import both
from lottoc.lower.program import Program
from lottoc.lsp.names import Names, names
from lottoc.lsp.text import Text, Width, plain

_NOTHING = Program({}, {}, {}, {}, (), ())


@dataclass(frozen=True)
class Analysis:
    """One text, understood as far as it can be.

    `diagnostics` are those of `lottoc check`; `recipe` and `program` hold what is free of errors.
    """

    text: Text
    source: Source
    folder: Path
    recipe: syntax.Recipe
    well_formed: bool
    program: Program
    names: Names
    diagnostics: tuple[Diagnostic, ...]
    seconds: float = field(compare=False)

    @property
    def params(self) -> dict[str, syntax.Value]:
        """What each param stands for, as the recipe gives it."""
        return {i.name: i.value for i in self.recipe.items if isinstance(i, syntax.Param)}


def analyse(text: str, path: Path, catalog: Catalog, width: Width) -> Analysis:
    """Read and check a text as if the file `path` held it; no file of a recipe is read."""
    began = time.perf_counter()
    source = Source(str(path), plain(text))
    recipe, errors = parse_partial(source)
    program, found = _checked(recipe, _relative(path.parent), catalog)
    return Analysis(
        Text(source.text, width),
        source,
        _relative(path.parent),
        recipe,
        not errors,
        program,
        names(recipe),
        tuple(both(source, recipe, errors, found) if errors else found),
        time.perf_counter() - began,
    )


def _checked(
    recipe: syntax.Recipe, folder: Path, catalog: Catalog
) -> tuple[Program, Sequence[Diagnostic]]:
    """The program as far as it goes, and what `lottoc check` says of a tree without errors."""
    findings = Findings()
    program, errors = _NOTHING, list[Diagnostic]()
    try:
        program = survey(recipe, folder, catalog, findings)
        findings.raise_errors()
        note_unknown_layers(program, findings)
    except LottoError as error:
        errors += error.diagnostics
    except Exception as error:  # a wreck of a tree may be more than the checker was made for
        errors.append(Diagnostic("internal", f"{type(error).__name__}: {error}"))
    return program, [*(d for d in findings.diagnostics if d.severity != "error"), *errors]


def _relative(folder: Path) -> Path:
    try:
        return Path(os.path.relpath(folder))
    except ValueError:  # another drive
        return folder
