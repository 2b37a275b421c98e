"""Recipes on disk: finding them in folders, and replacing them whole or not at all."""

from __future__ import annotations

import difflib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lottoc.diagnostics import InputError, Source, input_error
from lottoc.grammar.format import format_recipe
from lottoc.recipe_file import read

_LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True)
class Rewriting:
    """A recipe as it is, byte for byte, and as it would be in the one style."""

    name: str
    before: str
    after: str

    @property
    def changes(self) -> bool:
        """Whether the two differ."""
        return self.before != self.after

    def diff(self) -> str:
        """The changes as a unified diff; empty if there are none."""
        sides = _LINE.findall(self.before), _LINE.findall(self.after)
        lines = difflib.unified_diff(*sides, f"{self.name} (now)", f"{self.name} (formatted)")
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            for line in lines
        )


def find_recipes(path: Path) -> Iterator[Path]:
    """The path itself, or every `*.lotto` below a folder, hidden folders left out.

    Raises `InputError` (recipe-not-readable) for a folder that cannot be listed.
    """
    if not path.is_dir():
        yield path
        return
    for folder, inner, files in os.walk(path, onerror=_refuse_folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(files) if name.endswith(".lotto"))


def _refuse_folder(error: OSError) -> None:
    message = f"cannot list {error.filename}: {error.strerror}"
    raise input_error("recipe-not-readable", message, help=("check its permissions",)) from error


def rewriting(path: Path) -> Rewriting:
    """What formatting would do to a file.

    Raises `InputError` (recipe-not-readable), or the `RecipeError` of a recipe that does not parse.
    """
    with suppress(OSError):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            message = f"{path} is no file that could be replaced"
            raise input_error("recipe-not-readable", message, help=("read it with  lottoc fmt -",))
    after = format_recipe(read(path))
    return Rewriting(str(path), path.read_bytes().decode(), after)


def rewriting_of(name: str, content: bytes) -> Rewriting:
    """What formatting would do to a text that is in no file; raises as `rewriting` does."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        message = f"{name} is not UTF-8 text (byte {error.start})"
        raise input_error("recipe-not-readable", message, help=("save it as UTF-8",)) from error
    return Rewriting(name, text, format_recipe(Source(name, text)))


def replace(path: Path, text: str) -> None:
    """Put a text in the place of a file, whole or not at all, with the same permissions.

    Of a link, the file it leads to is replaced. Raises `InputError` (output-not-writable).
    """
    target = Path(os.path.realpath(path))
    try:
        if not os.access(target, os.W_OK):
            raise _not_writable(path, "it is read-only")
        _replace(target, text)
    except OSError as error:
        raise _not_writable(path, error.strerror or str(error)) from error


def _replace(target: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, stat.S_IMODE(target.stat().st_mode))
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def _not_writable(path: Path, why: str) -> InputError:
    message = f"cannot write {path}: {why}"
    return input_error("output-not-writable", message, help=("check its permissions",))
