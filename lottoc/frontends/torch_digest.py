"""The digest of a torch model's source, taken without importing torch or the source."""

from __future__ import annotations

import ast
import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lottoc.diagnostics import input_error


def torch_digest(file: Path, function: str) -> str:
    """SHA-256 over the file, the modules of its own folder that it imports, and torch's version.

    Raises `InputError` if the file cannot be read (model-not-found).
    """
    digest = hashlib.sha256(f"{function}\n{_torch_version()}\n".encode())
    for path in _sources(file):
        content = read_source(path)
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def read_source(file: Path) -> bytes:
    """The bytes of a Python file; raises `InputError` (model-not-found)."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise input_error(
            "model-not-found",
            f"cannot read the model: {error.strerror}",
            file=str(file),
            help=("paths in a recipe are relative to the recipe's own folder",),
        ) from error


def _torch_version() -> str:
    try:
        return version("torch")
    except PackageNotFoundError:
        return "none"


def _sources(file: Path) -> list[Path]:
    """The file and, recursively, the modules beside it that it imports, in order of name."""
    found, pending = {file}, [file]
    while pending:
        for neighbour in _imports(pending.pop()) - found:
            found.add(neighbour)
            pending.append(neighbour)
    return [file, *sorted(found - {file})]


def _imports(file: Path) -> set[Path]:
    try:
        tree = ast.parse(read_source(file))
    except (SyntaxError, ValueError):
        return set()  # whoever loads it says what is wrong with it
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    places = {
        file.parent.joinpath(*name.split(".")[:depth])
        for name in names
        for depth in range(1, len(name.split(".")) + 1)
    }
    candidates = {p.with_suffix(".py") for p in places} | {p / "__init__.py" for p in places}
    return {path for path in candidates if path.is_file()}
