"""The command line: the registry of commands, and the last net under them."""

from __future__ import annotations

import os
import sys
import traceback
from types import ModuleType
from typing import Annotated

import typer

from lottoc import __version__
from lottoc.commands import (
    apply,
    bench,
    cache,
    calibrate,
    check,
    compile,
    explain,
    fmt,
    init,
    inspect,
    ir,
    lsp,
    opt,
    report,
    unapply,
    verify,
)

COMMANDS: tuple[ModuleType, ...] = (
    init,
    compile,
    check,
    fmt,
    explain,
    ir,
    opt,
    inspect,
    verify,
    report,
    bench,
    calibrate,
    apply,
    unapply,
    cache,
    lsp,
)
"""A module holds a function of its own name, and an `EXAMPLE` for its help."""

app = typer.Typer(
    name="lottoc",
    help="Compile pruning recipes into small, verified models.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _module in COMMANDS:
    _name = _module.__name__.rpartition(".")[2]
    app.command(_name, epilog=_module.EXAMPLE)(getattr(_module, _name))


def _print_version(asked: bool) -> None:
    if asked:
        print(_version())
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print versions and exit.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Compile pruning recipes into small, verified models."""


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
