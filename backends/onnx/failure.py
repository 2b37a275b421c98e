"""What to say when a written file is not what it should be."""

from __future__ import annotations

from pathlib import Path

from lottoc.diagnostics import Diagnostic, LottoError


def failure(path: Path, message: str) -> LottoError:
    """A `LottoError` with code `verify-failed`; the file at `path` must not be shipped."""
    help = ("the artefact was not kept; compile again, and if that fails too, report this",)
    return LottoError([Diagnostic("verify-failed", message, help=help, file=str(path))])
