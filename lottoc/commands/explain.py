"""`lottoc explain`: the long form of a diagnostic."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lottoc.commands.options import Format
from lottoc.commands.run import run
from lottoc.diagnostics import Findings

EXAMPLE = "Example: lottoc explain nm-axis"


def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="[CODE]", help="A diagnostic's code; none lists them.")
    ] = None,
) -> None:
    """Explain a diagnostic: why it is so, what to do, an example."""

    def work(_: Findings) -> dict[str, Any]:
        from lottoc import explain

        print(_list() if code is None else explain.explain(code))
        return {}

    run(work, Format.text)


def _list() -> str:
    from lottoc.explain import explanations

    known = explanations().values()
    width = max(len(each.code) for each in known)
    return "\n".join(f"{each.code:<{width}}  {each.meaning}" for each in known)
