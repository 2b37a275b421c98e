"""The table at the end of a compile: ticket, sparsity, accuracy or perplexity, work, file size."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lottoc.artefacts import Artefact
from lottoc.report.report import ControlRow, TicketRow

if TYPE_CHECKING:
    from rich.table import Table

    from lottoc.report.ranking import Ranking
    from lottoc.report.stability import Stability


def outcome_table(tickets: Sequence[TicketRow], artefacts: Sequence[Artefact]) -> str:
    """The tickets as a table, without a final line break."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("ticket")
    texts = any("perplexity" in row.metrics for row in tickets)
    measured, show = ("perplexity", _number) if texts else ("accuracy", _share)
    counted = ["flops"] if any("flops" in row.metrics for row in tickets) else []
    for heading in ("sparsity", measured, *counted, "file", "of dense"):
        table.add_column(heading, justify="right")
    for row in tickets:
        if row.name.count(".") > 1:  # a control of a sanity block, which has a table of its own
            continue
        files = [a for a in artefacts if a.ticket == row.name]
        for index, artefact in enumerate(files or [None]):
            table.add_row(
                row.name if index == 0 else "",
                _share(row, "sparsity") if index == 0 else "",
                show(row, measured) if index == 0 else "",
                *(_count(row, metric) if index == 0 else "" for metric in counted),
                f"{artefact.path} {_size(artefact.bytes)}" if artefact else "–",
                f"{artefact.bytes / artefact.dense_bytes:.1%}" if artefact else "–",
            )
    return _text(table)


def sanity_tables(rows: Sequence[ControlRow]) -> list[str]:
    """A table for each `sanity` block: accuracy, and in points what each control loses of it."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    blocks: dict[str, list[ControlRow]] = {}
    for row in rows:
        blocks.setdefault(row.block, []).append(row)
    found = []
    for name, inside in blocks.items():
        controls = list(inside[0].controls)
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column(name)
        for heading in (inside[0].metric, *(f"{c} drops" for c in controls)):
            table.add_column(heading, justify="right")
        for row in inside:
            drops = [f"{100 * row.drop(c):+.2f}" for c in controls]
            table.add_row(row.ticket, f"{row.original:.2%}", *drops)
        found.append(_text(table))
    return found


def rank_tables(found: Sequence[Ranking]) -> list[str]:
    """A table for each `rank` block: the models, best first, and what each proxy says of them."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    tables = []
    for ranking in found:
        proxies = list(next(iter(ranking.values.values())))
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column(ranking.block)
        for heading in ("mean rank", *proxies):
            table.add_column(heading, justify="right")
        for model in ranking.order:
            values = ranking.values[model]
            numbers = [
                f"{values[p]:.2%}" if p == "accuracy" else f"{values[p]:.4g}" for p in proxies
            ]
            table.add_row(model, f"{ranking.means[model]:.2f}", *numbers)
        tables.append(_text(table))
    return tables


def stability_tables(found: Sequence[Stability]) -> list[str]:
    """A table for each `stability` block: the barrier at each step, in points."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    tables = []
    for stability in found:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column(stability.block)
        table.add_column("barrier", justify="right")
        table.add_column("")
        for step, height in stability.barriers.items():
            found_here = "stable from here on" if step == stability.step else ""
            table.add_row(f"step {step}", f"{100 * height:+.2f}", found_here)
        tables.append(_text(table))
    return tables


def approximations(tickets: Sequence[TicketRow]) -> list[str]:
    """A line for each ticket that approximates another."""
    return [
        f"{row.name}: within {moment['error']:.3g} of its target, by {moment['width']:.0f} hidden "
        "units"
        for row in tickets
        for moment in row.moments
        if moment["moment"] == "approximation"
    ]


def _text(table: Table) -> str:
    from rich.console import Console

    stream = io.StringIO()
    Console(file=stream, width=100, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().strip("\n").splitlines())


def _share(row: TicketRow, metric: str) -> str:
    return f"{row.metrics[metric]:.2%}" if metric in row.metrics else "–"


def _number(row: TicketRow, metric: str) -> str:
    return f"{row.metrics[metric]:.4g}" if metric in row.metrics else "–"


def _count(row: TicketRow, metric: str) -> str:
    """A number of multiply-adds, three or four digits of it."""
    if metric not in row.metrics:
        return "–"
    number = row.metrics[metric]
    for unit, size in (("G", 1e9), ("M", 1e6), ("K", 1e4)):
        if number >= size:
            return f"{number / (1e3 if unit == 'K' else size):.4g} {unit}"
    return f"{number:.0f}"


def _size(count: int) -> str:
    return f"{count / 1024:.0f} KB" if count < 10 * 1024 * 1024 else f"{count / 1048576:.1f} MB"
