"""Writing a text file whole or not at all: a reader sees the old text or the new, never a half."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from lottoc.diagnostics import input_error


def write_whole(path: Path, text: str) -> None:
    """Write a text, in UTF-8, through a temporary file beside its place.

    A pipe or device is written to as it is. Raises `InputError` (output-not-writable).
    """
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
        else:
            _replace(path, text)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or error}"
        help = ("choose another file with  -o FILE",)
        raise input_error("output-not-writable", message, help=help) from error


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
