"""Reading the text of recipes and of IR from files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lottoc.diagnostics import Diagnostic, InputError, Source


def read(path: Path, kind: Literal["recipe", "ir"] = "recipe") -> Source:
    """The text of a recipe or of IR; raises `InputError` (KIND-not-readable)."""
    what, suffix = {"recipe": ("recipe", ".lotto"), "ir": ("IR file", ".mlir")}[kind]
    try:
        return Source(str(path), path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        message, help = f"there is no {what} {path}", "check the path"
    except IsADirectoryError:
        message, help = f"{path} is a folder", f"name a {suffix} file in it"
    except UnicodeDecodeError as error:
        message, help = f"{path} is not UTF-8 text (byte {error.start})", "save it as UTF-8"
    except OSError as error:
        message, help = f"cannot read {path}: {error.strerror}", "check its permissions"
    raise InputError([Diagnostic(f"{kind}-not-readable", message, help=(help,))])
