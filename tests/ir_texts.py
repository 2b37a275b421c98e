"""IR of real recipes: the examples of this repository and the recipes of the specification."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from onnx_toys import build

from lottoc.diagnostics import Findings, LottoError
from lottoc.driver import mask_ir, recipe_ir
from lottoc.engine.store import Store
from lottoc.front import Request, front
from lottoc.ir.text import to_text

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(ROOT.glob("examples/**/*.lotto"))
SPECIFIED = re.findall(r"```lotto\n(.*?)```", (ROOT / "specs" / "language.md").read_text(), re.S)


def ir_texts(folder: Path) -> dict[str, str]:
    """IR text by recipe and stage, of every recipe that compiles beside small models and data."""
    _supply(folder)
    found = {}
    for recipe in _recipes(folder):
        try:
            texts = _stages(recipe, Store(folder / "store"))
        except LottoError:
            continue  # part of the specification is not built yet, or shown without its model
        found |= {f"{recipe.stem}-{stage}": text for stage, text in texts.items()}
    return found


def _supply(folder: Path) -> None:
    """The models and data that recipes name, small."""
    build("gemm", 8, 16).save(folder, "minilm.onnx")
    shutil.copy(ROOT / "examples" / "lenet" / "lenet.py", folder)
    x, y = np.zeros((4, 784), np.float32), np.arange(4)
    np.savez(folder / "mnist.npz", x_train=x, y_train=y, x_test=x, y_test=y)


def _recipes(folder: Path) -> Iterator[Path]:
    for example in EXAMPLES:
        yield Path(shutil.copy(example, folder))
    for number, text in enumerate(SPECIFIED):
        path = folder / f"specified{number}.lotto"
        path.write_text(text)
        yield path


def _stages(recipe: Path, store: Store) -> dict[str, str]:
    with _inside(recipe.parent):
        request = Request(Path(recipe.name), store)
        _, program = front(request, Findings(), deep=True)
        module = recipe_ir(request, program)
        text = to_text(module)
        return {"recipe": text, "masks": to_text(mask_ir(module))}


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
