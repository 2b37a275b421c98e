"""`lottoc explain`: the long form of a diagnostic."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lottoc.commands.options import Format
from lottoc.commands.run import run
from lottoc.diagnostics import Diagnostic, Findings, RecipeError, did_you_mean

EXAMPLE = "Example: lottoc explain nm-axis"


def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="[CODE]", help="A diagnostic's code; none lists them.")
    ] = None,
) -> None:
    """Explain a diagnostic: why it is so, what to do, an example."""

    def work(findings: Findings) -> dict[str, Any]:
        from lottoc.explain import explanations

        known = explanations()
        if code is None:
            width = max(map(len, known))
            for each in known.values():
                print(f"{each.code:<{width}}  {each.meaning}")
        elif code in known:
            print(known[code].render())
        else:
            message = f'there is no diagnostic "{code}"'
            help = (*did_you_mean(code, known)[:1], "lottoc explain  lists them all")
            raise RecipeError([Diagnostic("unknown-code", message, help=help)])
        return {}

    run(work, Format.text)
