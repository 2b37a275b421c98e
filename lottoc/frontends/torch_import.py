"""Running a user's Python file, apart from other users' files and from lottoc itself."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from lottoc.diagnostics import InputError, input_error


class UserFile:
    """A Python file that runs with its own folder first among imports.

    Two files may each have their own `layers.py` beside them: what one has imported is put aside
    while another runs.
    """

    _loaded: dict[str, UserFile] = {}  # noqa: RUF012 - who imported a module, for all files
    """By whose file each module was imported that lies beside a user's file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.folder = file.parent.resolve()
        self._own: dict[str, ModuleType] = {}

    def run(self, source: bytes) -> dict[str, Any]:
        """The names the file defines; raises `InputError` (torch-import)."""
        place = hashlib.sha256(str(self.file.resolve()).encode()).hexdigest()[:8]
        module = ModuleType(f"_lottoc_{self.file.stem}_{place}")
        module.__file__ = str(self.file.resolve())
        sys.modules[module.__name__] = module
        with self.active("torch-import"):
            exec(compile(source, str(self.file), "exec"), module.__dict__)
        return vars(module)

    @contextmanager
    def active(self, code: str, *help: str) -> Iterator[None]:
        """Import from the file's folder; errors become an `InputError` with this code and help.

        What the code prints goes to standard error: standard output belongs to the compiler.
        """
        self._put_others_aside()
        before = set(sys.modules)
        sys.path.insert(0, str(self.folder))
        importlib.invalidate_caches()
        try:
            with contextlib.redirect_stdout(sys.stderr), self._explained(code, help):
                yield
        finally:
            with contextlib.suppress(ValueError):
                sys.path.remove(str(self.folder))
            self._claim(set(sys.modules) - before)

    def _put_others_aside(self) -> None:
        for name, owner in list(self._loaded.items()):
            if owner is not self:
                sys.modules.pop(name, None)
                del self._loaded[name]
        sys.modules.update(self._own)
        self._loaded.update(dict.fromkeys(self._own, self))

    def _claim(self, names: set[str]) -> None:
        for name in names:
            origin = getattr(sys.modules[name], "__file__", None)
            if origin and self.folder in Path(origin).resolve().parents:
                self._own[name] = sys.modules[name]
                self._loaded[name] = self

    @contextmanager
    def _explained(self, code: str, help: tuple[str, ...]) -> Iterator[None]:
        """Turn whatever the code raises into a diagnostic that names its own line."""
        try:
            yield
        except (InputError, KeyboardInterrupt):
            raise
        except SyntaxError as error:
            place = f"line {error.lineno}: " if error.lineno else ""
            if error.filename and Path(error.filename).name != self.file.name:
                place = f"{Path(error.filename).name}, {place}"
            raise self._error(code, f"{place}{error.msg}", help) from error
        except BaseException as error:  # `sys.exit()` too must not end the compiler
            frames = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in frames if frame.filename == str(self.file)]
            place = f"line {own[-1].lineno}: " if own else ""
            said = " ".join(str(error).split())
            text = f"{type(error).__name__}: {said}" if said else type(error).__name__
            raise self._error(code, f"{place}{text}", help) from error

    def _error(self, code: str, message: str, help: tuple[str, ...]) -> InputError:
        return input_error(code, message, file=str(self.file), help=help)
