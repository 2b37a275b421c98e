"""`lottoc init`: a first recipe for a model."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lottoc.commands.options import Format, StoreFolder
from lottoc.commands.run import run
from lottoc.diagnostics import Findings, input_error

if TYPE_CHECKING:
    from lottoc.first_recipe import Subject
    from lottoc.signature import Layer

EXAMPLE = "Example: lottoc init minilm.onnx    or    lottoc init lenet.py:lenet_300_100"


def init(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="An .onnx file, or file.py:function.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The recipe; - prints it [default: MODEL's .lotto]."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file there is.")] = False,
    store: StoreFolder = None,
) -> None:
    """Write a first recipe, with the model's layers in a comment and defaults that suit them."""
    file, _, function = model.rpartition(":") if not model.endswith(".onnx") else (model, "", "")
    if not model.endswith(".onnx") and not (file and function.isidentifier()):
        message = f'"{model}" is neither an .onnx file nor file.py:function'
        raise typer.BadParameter(message, param_hint="MODEL")
    path = Path(file)
    target = output if output is not None else Path(f"{path.stem}.lotto")

    def work(_: Findings) -> dict[str, Any]:
        from lottoc.first_recipe import first_recipe
        from lottoc.whole_file import write_whole

        printed = str(target) == "-"
        if not printed:
            _refuse_existing(target, force)
        folder = Path() if printed else target.parent
        text = first_recipe(_subject(path, function, folder, store))
        if printed:
            sys.stdout.write(text)
        else:
            write_whole(target, text)
            print(f"{target}: written; next:  lottoc compile {target}")
        return {}

    run(work, Format.text)


def _refuse_existing(target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise input_error(
            "recipe-exists",
            f"{target} is there already",
            help=("write over it with  --force, or choose another file with  -o FILE",),
        )


def _subject(path: Path, function: str, folder: Path, store: Path | None) -> Subject:
    """The model as the recipe in `folder` shall name it, with its layers."""
    from lottoc.catalog import Catalog
    from lottoc.engine.store import Store, default_root
    from lottoc.first_recipe import Subject

    written = Path(os.path.relpath(path, folder)).as_posix()
    if not written.isprintable():
        message = f"{written!r} cannot be written in a recipe"
        raise input_error("model-name", message, help=("rename the file or its folder",))
    if not function:
        return Subject("onnx", written, path.stem, _onnx_layers(path))
    catalog = Catalog(Store(store if store is not None else default_root()))
    signature, _ = catalog.signature("torch", path, function)
    layers = signature.layers if signature is not None else ()
    _refuse_empty(path, layers, ())
    return Subject("torch", f"{written}:{function}", path.stem, layers)


def _onnx_layers(path: Path) -> tuple[Layer, ...]:
    from lottoc.frontends.onnx_model import open_onnx

    model = open_onnx(path)
    reasons = [f"{name}: {reason}" for name, reason in model.skipped[:3]]
    _refuse_empty(path, model.signature.layers, reasons)
    return model.signature.layers


def _refuse_empty(path: Path, layers: Sequence[Layer], reasons: Sequence[str]) -> None:
    if not layers:
        message = "the model has no linear or convolution layer that can be pruned"
        raise input_error("nothing-to-prune", message, file=str(path), help=reasons)
