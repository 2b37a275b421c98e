"""Signatures of models for a recipe that is checked at every keystroke: read once, then kept."""

from __future__ import annotations

import os
import time
from pathlib import Path

from lottoc.catalog import Catalog
from lottoc.diagnostics import InputError
from lottoc.engine.store import Store
from lottoc.lower.program import SourceKind
from lottoc.signature import Signature

Known = tuple[Signature | None, str] | InputError
_Stamp = tuple[int, int] | None

_PATIENCE = 2.0
"""Seconds after which a model that could not be read is looked at again."""


class RememberingCatalog(Catalog):
    """A catalog that never loads a model and opens a model file again only when it has changed."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, deep=False)
        self._known: dict[tuple[str, Path, str], tuple[_Stamp, float, Known]] = {}

    def forget(self) -> None:
        """Look at every file again: a file that a model is made of may have changed."""
        self._known.clear()

    def signature(
        self, source: SourceKind, path: Path, function: str
    ) -> tuple[Signature | None, str]:
        """As `Catalog.signature`, errors included."""
        key, stamp = (source, path, function), _stamp(path)
        remembered = self._known.get(key)
        if remembered is None or remembered[0] != stamp or time.monotonic() > remembered[1]:
            remembered = stamp, *self._look(source, path, function)
            self._known[key] = remembered
        known = remembered[2]
        if isinstance(known, InputError):
            raise known
        return known

    def _look(self, source: SourceKind, path: Path, function: str) -> tuple[float, Known]:
        """What is found, and until when it is believed."""
        soon = time.monotonic() + _PATIENCE
        try:
            found = super().signature(source, path, function)
        except InputError as error:
            return soon, error
        return (soon if found[0] is None else float("inf")), found


def _stamp(path: Path) -> _Stamp:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size
