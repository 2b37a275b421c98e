"""What exporting a torch model says: nothing while it works, clear words if it fails."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

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


BATCH: Mapping[int, str] = {0: "batch"}
"""What is open of the input of a network, by dimension: how many examples."""

TOKENS: Mapping[int, str] = {0: "batch", 1: "length"}
"""The same of a language model, and how many tokens an example has."""


def at_batch(
    sample: NDArray[Any], batch: int | None, open: Mapping[int, str]
) -> tuple[NDArray[Any], Mapping[int, str]]:
    """Examples to export with, and what stays open; as many as `batch`, and that not, if given."""
    if batch is None:
        return sample, open
    shape = (batch, *sample.shape[1:])
    return np.resize(sample, shape), {axis: name for axis, name in open.items() if axis}


def check_open(shapes: Iterable[Sequence[int | None]], open: Mapping[int, str]) -> None:
    """Refuse a model whose inputs or outputs, by shape, fix a dimension that is to be `open`."""
    for shape in shapes:
        for axis, name in open.items():
            size = shape[axis] if axis < len(shape) else None
            if size is None:
                continue
            if name == "length":
                raise input_error(
                    "export-batch",
                    f"the model takes {size} tokens at a time only",
                    help=('write a folder of transformers:  emit hf "pruned" { … }',),
                )
            raise input_error(
                "export-batch",
                f"the model takes batches of {size} only",
                help=(
                    "write forward() so that it takes any number of examples: x.shape[0], not 2",
                ),
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
