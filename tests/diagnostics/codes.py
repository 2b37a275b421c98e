"""Every diagnostic code that the sources can give, read from the sources themselves."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from lottoc.passes import PASSES

ROOT = Path(__file__).parents[2]
FOLDERS = ("lottoc", "passes", "backends", "grammar")
CODE = re.compile(r"internal|[a-z]+(-[a-z]+)+")
TARGETS = {"nvidia-ampere", "nvidia-hopper", "onnxruntime-cpu", "torch-cpu"}
NO_CODES = {*PASSES, *TARGETS, "lottoc-out", "make-up"}
"""Words with a hyphen that stand in the sources for something else."""


def raised() -> set[str]:
    """All words in quotes that are made like a code: however one is passed on, it is found."""
    files = {path.resolve() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    words = {word for path in files for word in _words(path.read_text(encoding="utf-8"))}
    return {word for word in words if CODE.fullmatch(word)} - NO_CODES


def _words(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Constant(value=str() as word):
                yield word
            # {kind}-not-readable: of a recipe, unless a call says `read(path, "ir")`
            case ast.JoinedStr(values=[ast.FormattedValue(), ast.Constant(value="-not-readable")]):
                yield from ("recipe-not-readable", "ir-not-readable")


def seen() -> set[str]:
    """Codes that the galleries of wrong recipes show."""
    text = "\n".join(page.read_text() for page in sorted((ROOT / "tests").rglob("*.md")))
    return set(re.findall(r"^\w+\[([a-z-]+)\]:", text, re.M))
