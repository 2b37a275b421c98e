"""The command line: arguments in, exit code out."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lottoc import __version__
from lottoc.diagnostics import Diagnostic, Findings, LottoError, render, to_json

if TYPE_CHECKING:
    from lottoc.driver import Outcome
    from lottoc.front import Request

app = typer.Typer(
    name="lottoc",
    help="Compile pruning recipes into small, verified models.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Format(StrEnum):
    """How results and diagnostics are printed."""

    text = "text"
    json = "json"


class Stage(StrEnum):
    """The two levels of IR."""

    recipe = "recipe"
    masks = "masks"


Recipe = Annotated[
    Path, typer.Argument(metavar="RECIPE", help="A .lotto file.", show_default=False)
]
Define = Annotated[
    list[str] | None,
    typer.Option("-D", metavar="NAME=VALUE", help="Set a param, e.g. -D target=90%."),
]
Output = Annotated[Path, typer.Option("-o", "--output", help="Folder for artefacts.")]
StoreOption = Annotated[
    Path | None,
    typer.Option("--store", help="Folder of kept results [default: the user's cache folder]."),
]
FormatOption = Annotated[Format, typer.Option("--format", help="For people, or for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Werror = Annotated[bool, typer.Option("--werror", help="Let warnings fail the run.")]


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print versions and exit.", is_eager=True)
    ] = False,
) -> None:
    """Compile pruning recipes into small, verified models."""
    if version:
        print(_version())
        raise typer.Exit


def _version() -> str:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    def of(package: str) -> str:
        try:
            return installed(package)
        except PackageNotFoundError:
            return "not installed"

    packages = ("onnx", "onnxruntime", "torch", "xdsl")
    return f"lottoc {__version__} ({', '.join(f'{p} {of(p)}' for p in packages)})"


@app.command(epilog="Example: lottoc compile lenet.lotto -o out -D target=90%")
def compile(
    recipe: Recipe,
    output: Output = Path("lottoc-out"),
    define: Define = None,
    store: StoreOption = None,
    format: FormatOption = Format.text,
    quiet: Quiet = False,
    werror: Werror = False,
) -> None:
    """Find the tickets of a recipe and write its artefacts.

    Exits 0 when every artefact is written and every require holds, 1 when a require fails,
    2 on an error in the recipe, 3 on bad input data or models, 4 on an internal fault.
    """

    def work(findings: Findings) -> dict[str, Any]:
        from lottoc.driver import compile_recipe
        from lottoc.report.table import outcome_table

        request = _request(recipe, define, store, quiet=quiet or format is Format.json)
        outcome = compile_recipe(request, output, findings)
        if format is Format.text and not quiet:
            print(outcome_table(outcome.tickets, outcome.artefacts))
            print(_summary(outcome))
        return {"report": str(outcome.report), "computed": outcome.computed}

    _run(work, format, quiet=quiet, werror=werror)


def _summary(outcome: Outcome) -> str:
    made = f"{outcome.computed} results computed, {outcome.trained} of them trainings"
    return f"report: {outcome.report}  ({made if outcome.computed else 'all results reused'})"


@app.command(epilog="Example: lottoc check lenet.lotto")
def check(
    recipe: Recipe,
    define: Define = None,
    store: StoreOption = None,
    format: FormatOption = Format.text,
    quiet: Quiet = False,
    werror: Werror = False,
    load_models: Annotated[
        bool, typer.Option("--load-models", help="Load torch models to learn their layers.")
    ] = False,
) -> None:
    """Check types and shapes; no data is opened and nothing is trained."""

    def work(findings: Findings) -> dict[str, Any]:
        from lottoc.front import front

        request = _request(recipe, define, store, quiet=True)
        _, program = front(request, findings, deep=load_models)
        for name in program.unknown_models:
            findings.note(
                "layers-unknown",
                f'the layers of "{name}" are not known yet, so selections were not checked',
                program.models[name].span,
                help="lottoc check --load-models  loads the model once and remembers its layers",
            )
        if format is Format.text and not quiet:
            tickets = len([t for t in program.tickets if t != "dense"])
            print(f"{recipe}: {tickets} tickets, {len(program.emits)} artefacts: no errors")
        return {"tickets": list(program.tickets)}

    _run(work, format, quiet=quiet, werror=werror)


@app.command(epilog="Example: lottoc ir --stage masks lenet.lotto")
def ir(
    recipe: Recipe,
    stage: Annotated[Stage, typer.Option("--stage", help="Which level.")] = Stage.recipe,
    define: Define = None,
    store: StoreOption = None,
) -> None:
    """Print a recipe's intermediate representation."""

    def work(findings: Findings) -> dict[str, Any]:
        from lottoc.driver import mask_ir, recipe_ir
        from lottoc.front import front
        from lottoc.ir.text import to_text

        request = _request(recipe, define, store, quiet=True)
        _, program = front(request, findings, deep=True)
        module = recipe_ir(request, program)
        print(to_text(mask_ir(module) if stage is Stage.masks else module), end="")
        return {}

    _run(work, Format.text)


def _request(
    recipe: Path, define: Sequence[str] | None, store: Path | None, *, quiet: bool
) -> Request:
    from lottoc.engine.store import Store, default_root
    from lottoc.front import Request
    from lottoc.progress import for_stream

    defines = {}
    for text in define or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f'"{text}" is not NAME=VALUE', param_hint="-D")
        defines[name.strip()] = value
    opened = Store(store if store is not None else default_root())
    return Request(recipe, opened, defines, for_stream(sys.stderr, quiet=quiet))


def _run(
    work: Callable[[Findings], dict[str, Any]],
    format: Format,
    *,
    quiet: bool = False,
    werror: bool = False,
) -> None:
    """Run a command's work, print what was found, and exit with the right code."""
    findings = Findings()
    result: dict[str, Any] = {}
    errors: Sequence[Diagnostic] = ()
    code = 0
    try:
        result = work(findings)
    except LottoError as error:
        errors, code = error.diagnostics, error.exit_code
        rows = getattr(error, "rows", None)
        if rows and format is Format.text:
            from lottoc.report.table import outcome_table

            print(outcome_table(rows, []))
    softer = [d for d in findings.diagnostics if d.severity != "error"]
    if werror and code == 0 and any(d.severity == "warning" for d in softer):
        code = 2
    everything = [*(() if quiet else softer), *errors]
    if format is Format.json:
        listed = [to_json(d) for d in everything]
        print(json.dumps({"exit_code": code, "diagnostics": listed, **result}, indent=2))
    else:
        color = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        for diagnostic in everything:
            print(render(diagnostic, color=color), end="\n\n", file=sys.stderr)
    raise typer.Exit(code)


def main() -> None:
    """Entry point. A fault of lottoc's own exits 4, without a traceback unless asked for."""
    try:
        app()
    except KeyboardInterrupt:
        print("interrupted; what was done is kept, the next run goes on from it", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        print(f"error[internal]: {type(error).__name__}: {error}", file=sys.stderr)
        print(
            "  = help: this is a fault of lottoc; please report it with the recipe", file=sys.stderr
        )
        if os.environ.get("LOTTOC_TRACEBACK"):
            traceback.print_exc()
        else:
            print("  = help: LOTTOC_TRACEBACK=1 shows where it happened", file=sys.stderr)
        sys.exit(4)


if __name__ == "__main__":
    main()
