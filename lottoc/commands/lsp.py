"""`lottoc lsp`: the editor service, over standard input and output."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from typing import Annotated, Any

import typer

from lottoc.commands.options import Format
from lottoc.commands.run import run
from lottoc.diagnostics import Findings, input_error

EXAMPLE = "Example: lottoc lsp    (an editor starts it; specs/editors.md says how)"


def lsp(
    stdio: Annotated[
        bool, typer.Option("--stdio", help="Speak over standard input and output, as always.")
    ] = False,
) -> None:
    """Serve an editor: errors while typing, help, completion, renaming."""

    def work(_: Findings) -> dict[str, Any]:
        if importlib.util.find_spec("pygls") is None:
            raise input_error(
                "lsp-not-installed",
                "the editor service needs the package pygls, which is not installed",
                help=('pip install "lottoc[lsp]"',),
            )
        if not _serve():
            raise typer.Exit(1)
        return {}

    run(work, Format.text)


def _serve() -> bool:
    """Serve until the editor leaves; whether it asked to stop first, as the protocol wants."""
    import logging

    from lottoc.lsp.features import create_server

    if sys.stdin.isatty():
        print("an editor speaks to `lottoc lsp`; press Ctrl-C to leave", file=sys.stderr)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    logging.getLogger("pygls").setLevel(logging.CRITICAL + 1)
    server = create_server()
    # Only the protocol may write to standard output: whatever else prints goes to the log.
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        server.start_io(sys.stdin.buffer, out)
    return server.asked_to_stop
