"""Values between two stages: in memory while there is room, else in a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = Mapping[str, NDArray[Any]]
ROOM = 1 << 30
"""Bytes that are held in memory."""


class Scratch:
    """Keeps values by number until they are dropped; safe to use from several threads."""

    def __init__(self, room: int | None = None) -> None:
        self._room = ROOM if room is None else room
        self._held: dict[int, Values] = {}
        self._number = self._used = 0
        self._lock = Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *exception: object) -> None:
        self._held.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def keep(self, values: Values) -> int:
        """Keep them; gives the number they are found under."""
        size = sum(array.nbytes for array in values.values())
        with self._lock:
            self._number += 1
            number = self._number
            if self._used + size <= self._room:
                self._used += size
                self._held[number] = dict(values)
                return number
            self._folder = self._folder or tempfile.TemporaryDirectory(prefix="lottoc-scratch-")
        folder = self._place(number)
        folder.mkdir()
        for place, (name, array) in enumerate(values.items()):
            np.save(folder / f"{place}.npy", array)
            (folder / f"{place}.name").write_text(name)
        return number

    def get(self, number: int) -> Values:
        """What was kept; from the folder it is mapped, not read."""
        held = self._held.get(number)
        if held is not None:
            return held
        found = sorted(self._place(number).glob("*.name"), key=lambda path: int(path.stem))
        return {p.read_text(): np.load(p.with_suffix(".npy"), mmap_mode="r+") for p in found}

    def drop(self, number: int) -> None:
        """Forget them; arrays that are still in use stay usable."""
        with self._lock:
            held = self._held.pop(number, None)
            if held is not None:
                self._used -= sum(array.nbytes for array in held.values())
                return
        for path in self._place(number).iterdir():
            path.unlink()
        self._place(number).rmdir()

    def _place(self, number: int) -> Path:
        assert self._folder is not None
        return Path(self._folder.name) / str(number)
