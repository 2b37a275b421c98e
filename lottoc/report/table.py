"""The table at the end of a compile: ticket, sparsity, accuracy, file size against dense."""

from __future__ import annotations

import io
from collections.abc import Sequence

from lottoc.artefacts import Artefact
from lottoc.report.report import TicketRow


def outcome_table(tickets: Sequence[TicketRow], artefacts: Sequence[Artefact]) -> str:
    """The tickets as a table, without a final line break."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("ticket")
    for heading in ("sparsity", "accuracy", "file", "of dense"):
        table.add_column(heading, justify="right")
    for row in tickets:
        files = [a for a in artefacts if a.ticket == row.name]
        for index, artefact in enumerate(files or [None]):
            table.add_row(
                row.name if index == 0 else "",
                _share(row, "sparsity") if index == 0 else "",
                _share(row, "accuracy") if index == 0 else "",
                f"{artefact.path} {_size(artefact.bytes)}" if artefact else "–",
                f"{artefact.bytes / artefact.dense_bytes:.1%}" if artefact else "–",
            )
    stream = io.StringIO()
    Console(file=stream, width=100, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().strip("\n").splitlines())


def _share(row: TicketRow, metric: str) -> str:
    return f"{row.metrics[metric]:.2%}" if metric in row.metrics else "–"


def _size(count: int) -> str:
    return f"{count / 1024:.0f} KB" if count < 10 * 1024 * 1024 else f"{count / 1048576:.1f} MB"
