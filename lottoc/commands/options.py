"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """How results and diagnostics are printed."""

    text = "text"
    json = "json"
    sarif = "sarif"


class Stage(StrEnum):
    """The two levels of IR."""

    recipe = "recipe"
    masks = "masks"


Recipe = Annotated[
    Path, typer.Argument(metavar="RECIPE", help="A .lotto file.", show_default=False)
]
Recipes = Annotated[
    list[Path],
    typer.Argument(metavar="RECIPE...", help="One or more .lotto files.", show_default=False),
]
Define = Annotated[
    list[str] | None,
    typer.Option("-D", metavar="NAME=VALUE", help="Set a param, e.g. -D target=90%."),
]
Output = Annotated[Path, typer.Option("-o", "--output", help="Folder for artefacts.")]
StoreFolder = Annotated[
    Path | None,
    typer.Option("--store", help="Folder of kept results [default: the user's cache folder]."),
]
FormatOption = Annotated[Format, typer.Option("--format", help="For people, or for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Werror = Annotated[bool, typer.Option("--werror", help="Let warnings fail the run.")]
