"""A folder in which artefacts are made, from which they go to their places in one step each."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from lottoc.diagnostics import Diagnostic, InputError

_STAGING = ".lottoc-"


@contextmanager
def staging(output: Path) -> Iterator[Path]:
    """A fresh folder inside `output`, gone afterwards; left-overs of killed runs are swept."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        for old in output.glob(f"{_STAGING}*"):
            if not _in_use(old):
                shutil.rmtree(old, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{_STAGING}{os.getpid()}-", dir=output))
    except OSError as error:
        raise _cannot_write(output, error) from error
    try:
        yield folder
    except OSError as error:
        raise _cannot_write(output, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cannot_write(output: Path, error: OSError) -> InputError:
    return InputError(
        [
            Diagnostic(
                "output-not-writable",
                f"cannot write to {output}: {error.strerror or error}",
                help=("choose another folder with  -o FOLDER",),
            )
        ]
    )


def _in_use(folder: Path) -> bool:
    """Whether the process that made a staging folder still runs."""
    pid = folder.name.removeprefix(_STAGING).partition("-")[0]
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return int(pid) != os.getpid()


def put_in_place(folder: Path, output: Path, names: Iterable[str]) -> None:
    """Move staged files to their places, each in one step, after their bytes are on disk."""
    output.mkdir(parents=True, exist_ok=True)
    for name in names:
        staged, target = folder / name, output / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if staged.is_dir():
            put_in_place(staged, target, [file.name for file in files(staged)])
            continue
        for companion in (staged, *companions(staged)):
            _sync(companion)
        for companion in companions(staged):
            os.replace(companion, target.parent / companion.name)
        os.replace(staged, target)
    _sync(output)


def companions(path: Path) -> list[Path]:
    """External data of a model too large for one file, or with weights that can be swapped."""
    names = [path.with_name(path.name + suffix) for suffix in (".data", ".swap")]
    return [name for name in names if name.exists()]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def named(found: Diagnostic, path: str, folder: Path) -> Diagnostic:
    """An error that names the artefact at `path`, not a staged file, or one worked on.

    Those are gone when it is read.
    """
    if found.file is None:
        return found
    file = Path(found.file).resolve()
    staged = file.is_relative_to(folder.resolve())
    worked_on = not file.exists() and file.is_relative_to(Path(tempfile.gettempdir()).resolve())
    return replace(found, file=path) if staged or worked_on else found


def files(path: Path) -> list[Path]:
    """A file and its companions, or the files of a folder in the order of their names."""
    return sorted(path.iterdir()) if path.is_dir() else [path, *companions(path)]
