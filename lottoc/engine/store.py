"""A content-addressed store of results: written whole, checked when read, swept when stale.

Every entry is a file `ab/<key><suffix>` with its SHA-256 in `ab/<key><suffix>.sha256`, which is
written last: an entry without a right sum does not exist. Killing a writer at any moment leaves
at most a temporary file that the next run sweeps away.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lottoc.diagnostics import InputError, input_error

Writer = Callable[[Path], None]
_SUM = ".sha256"
_TEMPORARY = "tmp"
_PARTIAL = "partial"
_DAY = 24 * 3600.0


def default_root() -> Path:
    """`$LOTTOC_STORE`, else the user's cache folder."""
    if root := os.environ.get("LOTTOC_STORE"):
        return Path(root)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "lottoc"


@dataclass(frozen=True)
class Entry:
    """A stored result."""

    path: Path
    bytes: int
    used: float
    """When it was last asked for, in seconds since the epoch."""


class Store:
    """Results by key; nothing is created on disk before the first `put`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._checked: dict[Path, tuple[int, int]] = {}
        self._sweep()

    def get(self, key: str, suffix: str) -> Path | None:
        """The file of a result, or None if there is none or it is damaged."""
        path = self._place(key, suffix)
        try:
            state = path.stat()
            stamp = (state.st_size, state.st_mtime_ns)
            if self._checked.get(path) == stamp:
                return path
            if _sum_file(path).read_text() != _sha256(path):
                raise ValueError
            os.utime(path)
        except (OSError, ValueError):
            self._discard(path)
            return None
        state = path.stat()
        self._checked[path] = (state.st_size, state.st_mtime_ns)
        return path

    def put(self, key: str, write: Writer, suffix: str) -> Path:
        """Store a result; `write` is given a temporary path and must create a file there."""
        path = self._place(key, suffix)
        self._write(path, write)
        digest = _sha256(path)
        self._write(_sum_file(path), lambda target: _write_text(target, digest))
        return path

    def get_partial(self, key: str) -> Path | None:
        """The last checkpoint of an unfinished result."""
        path = self.root / _PARTIAL / key
        return path if path.exists() else None

    def put_partial(self, key: str, write: Writer) -> None:
        """Replace the checkpoint of an unfinished result."""
        self._write(self.root / _PARTIAL / key, write)

    def drop_partial(self, key: str) -> None:
        """Forget the checkpoint of a result that is now finished."""
        (self.root / _PARTIAL / key).unlink(missing_ok=True)

    def entries(self) -> Iterator[Entry]:
        """Every stored result."""
        for path in sorted(self.root.glob("[0-9a-f][0-9a-f]/*")):
            if path.suffix != _SUM:
                state = path.stat()
                yield Entry(path, state.st_size, state.st_mtime)

    def prune(self, max_bytes: int) -> int:
        """Delete the results used longest ago until `max_bytes` are left; gives bytes freed."""
        entries = sorted(self.entries(), key=lambda entry: entry.used)
        total = sum(entry.bytes for entry in entries)
        freed = 0
        for entry in entries:
            if total - freed <= max_bytes:
                break
            self._discard(entry.path)
            freed += entry.bytes
        return freed

    def _place(self, key: str, suffix: str) -> Path:
        return self.root / key[:2] / f"{key}{suffix}"

    def _write(self, path: Path, write: Writer) -> None:
        temporary = self.root / _TEMPORARY / f"{os.getpid()}-{time.monotonic_ns()}"
        try:
            temporary.parent.mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            write(temporary)
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> InputError:
        reason = error.strerror or str(error)
        return input_error(
            "store-write",
            f"cannot write to the store {self.root}: {reason}",
            help=("choose another folder with  --store DIR  or  LOTTOC_STORE=DIR",),
        )

    def _discard(self, path: Path) -> None:
        for file in (_sum_file(path), path):
            try:
                file.unlink(missing_ok=True)
            except OSError:
                continue  # a read-only store is only not used

    def _sweep(self) -> None:
        """Remove temporary files whose writer is dead or a day old."""
        for file in (self.root / _TEMPORARY).glob("*-*"):
            try:
                stale = time.time() - file.stat().st_mtime > _DAY
                if stale or not _alive(int(file.name.partition("-")[0])):
                    shutil.rmtree(file) if file.is_dir() else file.unlink()
            except (OSError, ValueError):
                continue


def _sum_file(path: Path) -> Path:
    return path.with_name(path.name + _SUM)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text)
