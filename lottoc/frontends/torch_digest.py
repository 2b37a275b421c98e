"""The digest of a torch model's source, taken without importing torch or the source."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lottoc.diagnostics import InputError, input_error


def torch_digest(file: Path, function: str) -> str:
    """SHA-256 over all that the model is made of, as far as its source shows it.

    That is the file, the modules of its own folder that it imports, files of that folder that
    they name in a string (`torch.load("pretrained.pt")`), and torch's version.
    Raises `InputError` if the file cannot be read (model-not-found).
    """
    digest = hashlib.sha256(f"{function}\n{_torch_version()}\n".encode())
    folder = file.parent
    for path in sorted(parts(file), key=lambda part: part.relative_to(folder).as_posix()):
        name = path.relative_to(folder).as_posix() if path != file else "."
        digest.update(f"{name} {_content_digest(path)}\n".encode())
    return digest.hexdigest()


def read_source(file: Path) -> bytes:
    """The bytes of a Python file; raises `InputError` (model-not-found)."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise _not_readable(file, error) from error


def _not_readable(file: Path, error: OSError) -> InputError:
    return input_error(
        "model-not-found",
        f"cannot read the model: {error.strerror}",
        file=str(file),
        help=("paths in a recipe are relative to the recipe's own folder",),
    )


def _torch_version() -> str:
    try:
        return version("torch")
    except PackageNotFoundError:
        return "none"


def _content_digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _not_readable(path, error) from error


def parts(file: Path) -> set[Path]:
    """The file and, recursively, what it uses of its own folder, as `torch_digest` says.

    Raises `InputError` if a file cannot be read (model-not-found).
    """
    root, found, pending = file.parent, {file}, [file]
    while pending:
        path = pending.pop()
        try:
            tree = ast.parse(read_source(path))
        except (SyntaxError, ValueError, RecursionError):
            continue  # whoever loads it says what is wrong with it
        package = path.parent.relative_to(root).parts
        modules = {part for name in _imports(tree, package) for part in _sources(root, name)}
        pending += modules - found
        found |= modules | _named_files(tree, root) | _named_files(tree, path.parent)
    return found


def _imports(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every module, from the root down, that the imports of a module in `package` may mean."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *node.module.split(".")) if node.module else base
            yield module
            yield from ((*module, alias.name) for alias in node.names)


def _sources(root: Path, module: tuple[str, ...]) -> set[Path]:
    """The file of a module and those of the packages around it, where they exist."""
    found = {root.joinpath(*module[:n], "__init__.py") for n in range(1, len(module) + 1)}
    if module:
        found.add(root.joinpath(*module[:-1], f"{module[-1]}.py"))
    return {path for path in found if path.is_file()}


def _named_files(tree: ast.AST, folder: Path) -> set[Path]:
    """Files inside a folder whose relative path stands in the source as a string."""
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    short = {text for text in texts if 0 < len(text) < 200 and text.isprintable()}
    return {folder / text for text in short if _is_inside(folder, text)}


def _is_inside(folder: Path, text: str) -> bool:
    try:
        return (
            ".." not in Path(text).parts
            and not Path(text).is_absolute()
            and (folder / text).is_file()
        )
    except OSError:
        return False
