"""`lottoc fmt`: recipes in the one style of specs/language.md."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lottoc.commands.options import Format, FormatOption, Quiet
from lottoc.commands.run import run
from lottoc.diagnostics import Diagnostic, Findings, LottoError

if TYPE_CHECKING:
    from lottoc.rewrite import Rewriting

EXAMPLE = "Example: lottoc fmt --check recipes/ lenet.lotto"

_STDIN = "-"


def fmt(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|FOLDER|-]...",
            help="Recipes, folders of *.lotto, or - for standard input [default: this folder].",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; list what would change, exit 1 if any.")
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Write nothing; print the changes, exit 1 if any.")
    ] = False,
    format: FormatOption = Format.text,
    quiet: Quiet = False,
) -> None:
    """Format recipes: one style, comments kept, meaning untouched.

    Exits 2 if a recipe has errors of form, 3 if one cannot be read or written; it is left alone.
    """
    asked = list(dict.fromkeys(paths or ["."]))
    if _STDIN in asked and len(asked) > 1:
        raise typer.BadParameter("standard input is formatted alone", param_hint=_STDIN)
    job = _Job(check, diff, shows=format is Format.text, quiet=quiet)

    def work(_: Findings) -> dict[str, Any]:
        if asked == [_STDIN]:
            job.standard_input()
        else:
            job.files([Path(path) for path in asked])
        result = {"changed": job.changed, "unchanged": job.unchanged}
        if job.code:
            raise _Ended(job.errors, job.code, result)
        return result

    run(work, format, quiet=quiet)


class _Ended(LottoError):
    """Not everything is as it should be; carries what `--format json` prints all the same."""

    def __init__(self, found: Sequence[Diagnostic], code: int, result: dict[str, Any]) -> None:
        super().__init__(found)
        self.exit_code, self.result = code, result  # type: ignore[misc]


@dataclass
class _Job:
    """Goes through the recipes and keeps count."""

    check: bool
    diff: bool
    shows: bool
    quiet: bool
    changed: list[str] = field(default_factory=list)
    unchanged: int = 0
    failed: int = 0
    errors: list[Diagnostic] = field(default_factory=list)
    code: int = 0

    def standard_input(self) -> None:
        """Format what comes in, and write it out."""
        from lottoc.rewrite import rewriting_of

        try:
            result = rewriting_of("<stdin>", sys.stdin.buffer.read())
        except LottoError as error:
            self._fail(error)
            return
        if not (self.check or self.diff):
            sys.stdout.flush()
            sys.stdout.buffer.write(result.after.encode())
            sys.stdout.buffer.flush()
        self._count(result)

    def files(self, paths: Sequence[Path]) -> None:
        """Format each file where it is."""
        from lottoc.rewrite import replace, rewriting

        for path in self._found(paths):
            try:
                result = rewriting(path)
                if result.changes and not (self.check or self.diff):
                    replace(path, result.after)
            except LottoError as error:
                self._fail(error)
            else:
                self._count(result)
                if result.changes and not self.diff:
                    self._say(f"{'would format' if self.check else 'formatted'} {path}")
        self._say(self._summary())

    def _found(self, paths: Sequence[Path]) -> Iterator[Path]:
        from lottoc.rewrite import find_recipes

        seen = set[Path]()
        for path in paths:
            try:
                for file in find_recipes(path):
                    if file not in seen:
                        yield file
                    seen.add(file)
            except LottoError as error:
                self._fail(error)

    def _count(self, result: Rewriting) -> None:
        if not result.changes:
            self.unchanged += 1
            return
        self.changed.append(result.name)
        if self.check or self.diff:
            self.code = max(self.code, 1)
        if self.diff and self.shows:
            print(result.diff(), end="")

    def _fail(self, error: LottoError) -> None:
        self.failed += 1
        self.errors += error.diagnostics
        self.code = max(self.code, error.exit_code)

    def _say(self, text: str) -> None:
        if self.shows and not self.quiet:
            print(text, file=sys.stderr if self.diff else sys.stdout)

    def _summary(self) -> str:
        done = "to format" if self.check or self.diff else "formatted"
        counts = f"{len(self.changed)} {done}, {self.unchanged} as they should be"
        return f"{counts}, {self.failed} left alone" if self.failed else counts
