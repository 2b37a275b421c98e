"""What exporting a torch model says: nothing while it works, clear words if it fails."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import traceback
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from lottoc.diagnostics import InputError, input_error

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_NOT_THE_USERS = (Path(torch.__file__).resolve().parent, Path(__file__).resolve().parents[1])


def export_failed(error: Exception) -> InputError:
    """What torch said when it could not export a model (export-failed)."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    said = lines[0] if lines else type(cause).__name__
    return input_error(
        "export-failed",
        f"torch cannot export the model: {_place(cause, str(cause))}{said}",
        help=(
            "try  torch.export.export(model, (x,))  on it alone: control flow that depends on "
            "values must be rewritten",
        ),
    )


def _place(error: BaseException, said: str) -> str:
    """The innermost line of the user's own code, in the message or else in the traceback."""
    frames = [(name, line) for name, line in _FRAME.findall(said)]
    frames += [(f.filename, str(f.lineno)) for f in traceback.extract_tb(error.__traceback__)][::-1]
    for name, line in frames:
        path = Path(name)
        if path.is_file() and not any(root in path.resolve().parents for root in _NOT_THE_USERS):
            return f"{path.name}:{line}: "
    return ""


def check_open_batch(fixed: Iterable[int]) -> None:
    """Refuse a model whose input or output has a first dimension of one size only."""
    for size in fixed:
        raise input_error(
            "export-batch",
            f"the model takes batches of {size} only",
            help=("write forward() so that it takes any number of examples: x.shape[0], not 2",),
        )


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """The exporter talks on every channel there is."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
