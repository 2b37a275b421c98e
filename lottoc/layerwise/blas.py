"""Matrix products whose bits do not depend on the number of threads.

A BLAS that divides one product among threads rounds differently at the seams. So work is divided
here, into tiles of fixed size, and each tile is computed by one thread of one BLAS call.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock, local
from typing import Any

TILE = 512
"""Rows or columns of a tile: large enough for BLAS to be at its best."""

_state = local()
_lock = Lock()
_users = 0
_limit: Any = None


def tiles(length: int, size: int = TILE) -> list[slice]:
    """0…length in pieces of `size`, the last may be shorter."""
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def each(work: Callable[[slice], None], pieces: Sequence[slice]) -> None:
    """Call `work` for every piece, side by side; pieces must not touch what others write."""
    if len(pieces) < 2 or getattr(_state, "inside", False):
        for piece in pieces:
            work(piece)
        return
    for _ in _pool().map(_marked, [work] * len(pieces), pieces):
        pass


def _marked(work: Callable[[slice], None], piece: slice) -> None:
    """What runs on a thread of the pool does not wait for the pool."""
    _state.inside = True
    work(piece)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="lottoc")


@contextmanager
def one_thread_a_call() -> Iterator[None]:
    """A context in which BLAS calls use one thread; contexts may overlap in several threads."""
    global _users, _limit
    with _lock:
        if not _users:
            _limit = _controller().limit(limits=1, user_api="blas")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _limit.restore_original_limits()


@cache
def _controller() -> Any:
    import numpy  # noqa: F401  (its BLAS must be loaded to be found)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
