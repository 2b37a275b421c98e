"""`lottoc unapply`: the base model again."""

from __future__ import annotations

from lottoc.commands.apply import Adapters, Base, Output, move
from lottoc.commands.options import Format, FormatOption, Quiet

EXAMPLE = "Example: lottoc unapply minilm-task/ task.safetensors -o minilm/"


def unapply(
    base: Base,
    adapters: Adapters,
    output: Output,
    format: FormatOption = Format.text,
    quiet: Quiet = False,
) -> None:
    """Take adapters out of a model that they were applied to, in any order of disjoint ones.

    Gives the base back byte by byte. Exits 3 if an adapter is not applied; nothing is written then.
    """
    move(base, adapters, output, format, quiet=quiet, back=True)
