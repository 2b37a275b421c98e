"""Dependency files: rules by which make, ninja and CMake know when to compile a recipe again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lottoc.diagnostics import InputError, input_error

_SPECIAL = re.compile(r"(\\*)([ \t#:*?\[]|$)")
"""Before these, and at the end, a backslash counts; elsewhere it is a character like any other."""
_IMPOSSIBLE = re.compile(r"[\n=;]|\(.*\)$", re.DOTALL)
"""What no file name in a Makefile can have; brackets at its end mean a part of an archive."""
_NO_TARGET = re.compile(r"[%\t]|&$")
"""What the name of a target cannot have beside that."""


@dataclass(frozen=True)
class Rule:
    """What was made, and every file that was read for it."""

    targets: tuple[Path, ...]
    prerequisites: tuple[Path, ...]


def to_text(rules: Iterable[Rule]) -> str:
    """The rules as a Makefile, with an empty rule for each prerequisite.

    The empty rules let make go on when a prerequisite is gone, as `gcc -MP` does. Raises
    `InputError` (depfile-name) for a file name that no Makefile can hold.
    """
    listed = list(rules)
    lines = [f"{_targets(rule.targets)}: {_prerequisites(rule.prerequisites)}" for rule in listed]
    made = {target for rule in listed for target in rule.targets}
    needed = dict.fromkeys(p for rule in listed for p in rule.prerequisites if p not in made)
    lines += [f"{_targets((path,))}:" for path in needed if not _NO_TARGET.search(str(path))]
    return "\n".join(lines) + "\n"


def _targets(paths: Iterable[Path]) -> str:
    names = [str(path) for path in paths]
    for name in names:
        if sign := _NO_TARGET.search(name):
            raise _refused(name, sign[0])
    return " ".join(map(_escape, names))


def _prerequisites(paths: Iterable[Path]) -> str:
    return " ".join(_escape(str(path)).replace("|", "\\|") for path in paths)


def _escape(name: str) -> str:
    if sign := _IMPOSSIBLE.search(name):
        raise _refused(name, sign[0])
    return _SPECIAL.sub(_quote, name).replace("$", "$$")


def _quote(match: re.Match[str]) -> str:
    """Twice the backslashes, so that they stand for themselves, and one for the character."""
    backslashes, sign = match.groups()
    return backslashes * 2 + (f"\\{sign}" if sign else "")


def _refused(name: str, sign: str) -> InputError:
    return input_error(
        "depfile-name",
        f"{name!r} cannot stand in a dependency file, because of {sign!r}",
        help=("rename the file or its folder",),
    )
