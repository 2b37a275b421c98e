"""`lottoc cache`: what is kept of earlier runs, and how to be rid of it."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lottoc.commands.options import Format, FormatOption, Quiet, StoreFolder
from lottoc.commands.run import run
from lottoc.diagnostics import Findings

if TYPE_CHECKING:
    from lottoc.engine.store import Entry, Store

EXAMPLE = "Example: lottoc cache prune --older-than 30d --max-size 2GB"

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


class Action(StrEnum):
    """What to do with the store."""

    list = "list"
    size = "size"
    prune = "prune"
    clear = "clear"


def cache(
    action: Annotated[
        Action, typer.Argument(help="Show what is kept, its size, or delete old or all of it.")
    ],
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="prune: unused for 30d, 12h, 2w.")
    ] = "",
    max_size: Annotated[
        str, typer.Option("--max-size", metavar="SIZE", help="prune: keep at most 500MB, 2GB.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="clear: really delete everything.")] = False,
    store: StoreFolder = None,
    format: FormatOption = Format.text,
    quiet: Quiet = False,
) -> None:
    """Look after the store of kept results.

    A deleted result is made again when it is needed; an artefact never needs the store.
    """
    age = _measure(older_than, _SECONDS, "--older-than", "30d")
    limit = _measure(max_size, _BYTES, "--max-size", "2GB")
    size = None if limit is None else int(limit)
    _refuse_misfits(action, age, size, yes)

    def work(_: Findings) -> dict[str, Any]:
        from lottoc.engine.store import Store, default_root

        opened = Store(store if store is not None else default_root())
        shown = format is Format.text and not quiet
        freed = 0
        if action is Action.prune:
            freed = opened.prune(size, None if age is None else time.time() - age)
        elif action is Action.clear:
            freed = opened.prune(0, time.time() + _SECONDS["w"])
        entries = list(opened.entries())
        if shown:
            print(_text(action, opened, entries, freed))
        return _plain(action, opened, entries, freed)

    run(work, format, quiet=quiet)


def _measure(text: str, units: dict[str, int], option: str, example: str) -> float | None:
    """A number with a unit, in seconds or bytes; None if the option is not given."""
    if not text:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", text.strip())
    known = {unit.lower(): factor for unit, factor in units.items()}
    if match is None or match[2].lower() not in known:
        hint = f'"{text}" is no amount like {example} (units: {", ".join(units)})'
        raise typer.BadParameter(hint, param_hint=option)
    return float(match[1]) * known[match[2].lower()]


def _refuse_misfits(action: Action, age: float | None, size: int | None, yes: bool) -> None:
    limited = age is not None or size is not None
    if action is Action.prune and not limited:
        raise typer.BadParameter("prune needs --older-than AGE or --max-size SIZE")
    if action is not Action.prune and limited:
        raise typer.BadParameter(f"--older-than and --max-size belong to prune, not {action}")
    if action is Action.clear and not yes:
        raise typer.BadParameter("clear deletes everything kept; say  lottoc cache clear --yes")
    if action is not Action.clear and yes:
        raise typer.BadParameter(f"--yes belongs to clear, not {action}")


def _text(action: Action, store: Store, entries: Sequence[Entry], freed: int) -> str:
    total = sum(entry.bytes for entry in entries)
    summary = f"{_count(entries)}, {_human(total)} in {store.root}"
    if action in (Action.prune, Action.clear):
        return f"{_human(freed)} freed; left: {summary}"
    if action is Action.list:
        return "\n".join([*map(_line, entries), summary])
    return summary


def _count(entries: Sequence[Entry]) -> str:
    partial = sum(entry.partial for entry in entries)
    unfinished = f" ({partial} of them unfinished)" if partial else ""
    return f"{len(entries)} result{'' if len(entries) == 1 else 's'}{unfinished}"


def _line(entry: Entry) -> str:
    used = datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
    return f"{_key(entry)[:16]}  {_human(entry.bytes):>10}  last used {used}  {_kind(entry)}"


def _plain(action: Action, store: Store, entries: Sequence[Entry], freed: int) -> dict[str, Any]:
    result: dict[str, Any] = {
        "store": str(store.root),
        "results": len(entries),
        "bytes": sum(entry.bytes for entry in entries),
    }
    if action in (Action.prune, Action.clear):
        result["freed"] = freed
    if action is Action.list:
        result["entries"] = [
            {"key": _key(e), "bytes": e.bytes, "used": e.used, "kind": _kind(e)} for e in entries
        ]
    return result


def _key(entry: Entry) -> str:
    return entry.path.name.partition(".")[0]


def _kind(entry: Entry) -> str:
    return "unfinished" if entry.partial else entry.path.suffix.removeprefix(".")


def _human(count: int) -> str:
    unit = max((u for u, size in _BYTES.items() if size <= max(count, 1)), key=_BYTES.__getitem__)
    return f"{count} B" if unit == "B" else f"{count / _BYTES[unit]:.1f} {unit}"
