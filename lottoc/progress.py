"""Telling how long work goes on: a bar on a terminal, plain lines in a log, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

Advance = Callable[[int], None]
"""Told how many steps have been done since the last call."""


Trace = Callable[[str, str, str], None]
"""Told of each result of a build: `computed` or `reused`, what it is, and its key."""


def untraced(verb: str, what: str, key: str) -> None:
    """Nobody wants to know of each result."""


class Progress(Protocol):
    """Where long work reports to."""

    def task(self, what: str, total: int) -> AbstractContextManager[Advance]:
        """A piece of work of `total` steps."""

    def say(self, line: str) -> None:
        """A line worth reading that is no piece of work."""


class Silent:
    """For `--quiet`, and for tests."""

    @contextmanager
    def task(self, what: str, total: int) -> Iterator[Advance]:
        """Report nothing."""
        yield lambda steps: None

    def say(self, line: str) -> None:
        """Say nothing."""


class Lines:
    """Plain lines for a log: one when work is done, and one every `every` seconds before."""

    def __init__(self, stream: TextIO, every: float = 10.0) -> None:
        self.stream, self.every = stream, every

    @contextmanager
    def task(self, what: str, total: int) -> Iterator[Advance]:
        """Write a line now and then."""
        start = spoken = time.monotonic()
        done = 0

        def advance(steps: int) -> None:
            nonlocal done, spoken
            done += steps
            now = time.monotonic()
            if now - spoken >= self.every and done:
                spoken = now
                left = (now - start) / done * (total - done)
                self.say(f"{what}: {done} of {total}, {left:.0f} s left")

        yield advance
        self.say(f"{what}: done in {time.monotonic() - start:.1f} s")

    def say(self, line: str) -> None:
        """Write one line."""
        print(line, file=self.stream, flush=True)


class Bars:
    """Bars with the time left, on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)

    @contextmanager
    def task(self, what: str, total: int) -> Iterator[Advance]:
        """Show a bar as long as the work goes on."""
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with RichProgress(
            *columns, TimeRemainingColumn(), console=self.console, transient=True
        ) as bars:
            task = bars.add_task(what, total=total)
            yield lambda steps: bars.advance(task, steps)

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self.console.print(line, highlight=False)


def for_stream(stream: TextIO, *, quiet: bool) -> Progress:
    """The kind of progress that suits where standard error goes."""
    if quiet:
        return Silent()
    return Bars() if stream.isatty() and stream is sys.stderr else Lines(stream)
