"""What every command does around its work: print what was found, exit with the right code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lottoc.commands.options import Format
from lottoc.diagnostics import Diagnostic, Findings, LottoError, render, to_json

if TYPE_CHECKING:
    from lottoc.front import Request
    from lottoc.progress import Trace

Work = Callable[[Findings], dict[str, Any]]
"""Does a command's work; gives what `--format json` prints beside the diagnostics."""


def run(work: Work, format: Format, *, quiet: bool = False, werror: bool = False) -> None:
    """Run a command's work, print what was found, and exit with the right code."""
    findings = Findings()
    result: dict[str, Any] = {}
    errors: Sequence[Diagnostic] = ()
    code = 0
    try:
        result = work(findings)
    except LottoError as error:
        errors, code = error.diagnostics, error.exit_code
        result = getattr(error, "result", result)
        if format is Format.text:
            show_rows(error)
    softer = [d for d in findings.diagnostics if d.severity != "error"]
    warnings = [d for d in softer if d.severity == "warning"]
    if werror and code == 0 and warnings:
        code = 2
    heard = (warnings if werror else ()) if quiet else softer
    everything = [*heard, *errors]
    if format is Format.json:
        listed = [to_json(d) for d in everything]
        print(json.dumps({"exit_code": code, "diagnostics": listed, **result}, indent=2))
    elif format is Format.sarif:
        from lottoc.sarif import to_sarif

        print(json.dumps(to_sarif(everything), indent=2))
    else:
        show(everything)
    raise typer.Exit(code)


def show_rows(error: LottoError) -> None:
    """Print the table of tickets that an error may carry, so that it can be looked into."""
    rows = getattr(error, "rows", None)
    if rows:
        from lottoc.report.table import outcome_table

        print(outcome_table(rows, []))


def show(diagnostics: Sequence[Diagnostic]) -> None:
    """Print diagnostics for people on standard error."""
    color = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    for diagnostic in diagnostics:
        print(render(diagnostic, color=color), end="\n\n", file=sys.stderr)


def request(
    recipe: Path,
    define: Sequence[str] | None,
    store: Path | None,
    *,
    quiet: bool,
    trace: Trace | None = None,
) -> Request:
    """What the command line asks for."""
    from lottoc.engine.store import Store, default_root
    from lottoc.front import Request
    from lottoc.progress import for_stream, untraced

    defines = {}
    for text in define or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f'"{text}" is not NAME=VALUE', param_hint="-D")
        defines[name.strip()] = value
    opened = Store(store if store is not None else default_root())
    progress = for_stream(sys.stderr, quiet=quiet)
    return Request(recipe, opened, defines, progress, trace or untraced)
