"""A content-addressed store of results: written whole, checked when read, swept when stale.

A result is one file, `ab/<key>.<digest><suffix>`, renamed into place when it is complete. Its name
holds the SHA-256 of its bytes, so that what is damaged is not found, and is made again. Killing
a writer at any moment leaves at most a temporary file, which the next run sweeps away.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lottoc.diagnostics import InputError, input_error

Writer = Callable[[Path], None]
_TEMPORARY = "tmp"
_PARTIAL = "partial"
_DAY = 24 * 3600.0
_NAME = re.compile(r"[0-9a-f]+\.[0-9a-f]{64}(\.\w+)?")
_Stamp = tuple[int, int, int]


def default_root() -> Path:
    """`$LOTTOC_STORE`, else the user's cache folder."""
    if root := os.environ.get("LOTTOC_STORE"):
        return Path(root)
    cache_home = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache_home) if cache_home else Path.home() / ".cache") / "lottoc"


@dataclass(frozen=True)
class Entry:
    """A stored result, or the checkpoint of an unfinished one."""

    path: Path
    bytes: int
    used: float
    """When it was last asked for, in seconds since the epoch."""

    @property
    def partial(self) -> bool:
        """Whether it is the checkpoint of an unfinished result."""
        return self.path.parent.name == _PARTIAL


class Store:
    """Results by key (hexadecimal); nothing is created on disk before the first `put`.

    Any number of processes may use one folder. Whatever cannot be read is not there; what
    cannot be written raises `InputError` (store-write).
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._checked: dict[Path, _Stamp] = {}
        self._sweep()

    def get(self, key: str, suffix: str) -> Path | None:
        """The file of a result, or None if there is none or it is damaged.

        Its bytes are hashed when this process first asks (about 1 s a GB), not again unless
        the file has changed since.
        """
        return self._first_intact(self._versions(self._folder(key), key, suffix))

    def put(self, key: str, write: Writer, suffix: str) -> Path:
        """Store a result; `write` is given a temporary path and must create a file there."""
        return self._write(self._folder(key), key, suffix, write)

    def get_partial(self, key: str) -> Path | None:
        """The last checkpoint of an unfinished result that is not damaged."""
        return self._first_intact(self._versions(self.root / _PARTIAL, key, ""))

    def put_partial(self, key: str, write: Writer) -> None:
        """Replace the checkpoint of an unfinished result; the old one goes when the new is safe."""
        folder = self.root / _PARTIAL
        old = self._versions(folder, key, "")
        new = self._write(folder, key, "", write)
        self._delete(path for path in old if path != new)

    def drop_partial(self, key: str) -> None:
        """Forget the checkpoint of a result that is now finished."""
        self._delete(self._versions(self.root / _PARTIAL, key, ""))

    def entries(self) -> Iterator[Entry]:
        """Everything stored, damaged files too, and no file of anyone else's."""
        for pattern in ("[0-9a-f][0-9a-f]/*", f"{_PARTIAL}/*"):
            for path in sorted(self.root.glob(pattern)):
                if not _NAME.fullmatch(path.name):
                    continue
                with contextlib.suppress(OSError):  # another process may prune as well
                    state = path.stat()
                    yield Entry(path, state.st_size, state.st_mtime)

    def prune(self, max_bytes: int | None = None, before: float | None = None) -> int:
        """Delete results and checkpoints; gives bytes freed.

        First what was last used before a time (seconds since the epoch), then what was used
        longest ago until at most `max_bytes` are left.
        """
        entries = sorted(self.entries(), key=lambda entry: entry.used)
        total = sum(entry.bytes for entry in entries)
        freed = 0
        for entry in entries:
            stale = before is not None and entry.used < before
            if not stale and (max_bytes is None or total - freed <= max_bytes):
                break
            freed += entry.bytes * self._delete([entry.path])
        return freed

    def _folder(self, key: str) -> Path:
        return self.root / key[:2]

    @staticmethod
    def _versions(folder: Path, key: str, suffix: str) -> list[Path]:
        """Files of a key, the newest first; there is more than one only for a moment."""
        found = []
        with contextlib.suppress(OSError), os.scandir(folder) as files:
            for file in files:
                if file.name.startswith(f"{key}.") and file.name.endswith(suffix):
                    found.append((file.stat().st_mtime_ns, file.name))
        return [folder / name for _, name in sorted(found, reverse=True)]

    def _first_intact(self, paths: Iterable[Path]) -> Path | None:
        return next((path for path in paths if self._intact(path)), None)

    def _intact(self, path: Path) -> bool:
        try:
            if self._checked.get(path) == _stamp(path):
                return True
            if _digest(path) != path.name.split(".")[1]:
                return False
            with contextlib.suppress(OSError):  # a read-only store serves as well
                os.utime(path)
            self._checked[path] = _stamp(path)
        except OSError:
            return False
        return True

    def _write(self, folder: Path, key: str, suffix: str, write: Writer) -> Path:
        mine = f"{_host()}-{os.getpid()}-{time.monotonic_ns()}"
        temporary = self.root / _TEMPORARY / mine
        try:
            temporary.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(parents=True, exist_ok=True)
            write(temporary)
            _sync(temporary)
            path = folder / f"{key}.{_digest(temporary)}{suffix}"
            stamp = _stamp(temporary)
            os.replace(temporary, path)
            _sync(folder)
        except BaseException as error:
            self._delete([temporary])
            if _is_io(error):
                raise self._cannot_write(error) from error
            raise
        self._checked[path] = stamp
        return path

    def _cannot_write(self, error: BaseException) -> InputError:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        return input_error(
            "store-write",
            f"cannot write to the store {self.root}: {reason}",
            help=("choose another folder with  --store DIR  or  LOTTOC_STORE=DIR",),
        )

    def _delete(self, paths: Iterable[Path]) -> int:
        """How many could be deleted; what could not is only in the way of nothing."""
        deleted = 0
        for path in paths:
            self._checked.pop(path, None)
            with contextlib.suppress(OSError):
                path.unlink()
                deleted += 1
        return deleted

    def _sweep(self) -> None:
        """Remove temporary files whose writer is dead; on another machine, those a day old."""
        with contextlib.suppress(OSError), os.scandir(self.root / _TEMPORARY) as files:
            for file in files:
                with contextlib.suppress(OSError):
                    if _stale(file.name, file.stat().st_mtime):
                        os.unlink(file.path)


def _stale(name: str, modified: float) -> bool:
    host, _, rest = name.partition("-")
    pid = rest.partition("-")[0]
    if host == _host() and pid.isdecimal():
        return not _alive(int(pid))
    return time.time() - modified > _DAY


@cache
def _host() -> str:
    """A process number means something only on its own machine, or in its own container."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _is_io(error: BaseException) -> bool:
    """Whether the disk is to blame; safetensors reports a full one by an error of its own."""
    return isinstance(error, OSError) or type(error).__name__ == "SafetensorError"


def _stamp(path: Path) -> _Stamp:
    state = path.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
