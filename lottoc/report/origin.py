"""What a build was made from, as its report says it: the text, the models, the trainings."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from xdsl.dialects.builtin import ModuleOp

from lottoc.diagnostics import Source
from lottoc.ir import lotto
from lottoc.ir.plain import from_dictionary
from lottoc.lower.program import Program


@dataclass(frozen=True)
class Origin:
    """The entries of a report that name its sources."""

    text: Mapping[str, Any]
    models: Mapping[str, Any]
    trainings: Mapping[str, Any]


def of_recipe(source: Source, defines: Mapping[str, str], program: Program) -> Origin:
    """A build from a recipe."""
    recipe: dict[str, Any] = {"sha256": _sha256(source), "define": dict(defines)}
    if program.imports:
        folder = Path(source.name).parent
        recipe["imports"] = {_name(s, folder): _sha256(s) for s in program.imports}
    return Origin(
        {"recipe": recipe},
        {
            m.name: {"source": m.source, "file": m.path.name, "seed": m.seed, "digest": m.digest}
            for m in program.models.values()
        },
        {t.name: {**t.options, "length": str(t.length)} for t in program.trainings.values()},
    )


def of_ir(source: Source, module: ModuleOp) -> Origin:
    """A build from IR text, in which trainings have no names, only numbers."""
    models = {
        op.model.data: {
            "source": op.source.data,
            "file": Path(op.path.data).name,
            "digest": op.digest.data,
        }
        for op in module.ops
        if isinstance(op, lotto.ModelOp)
    }
    trainings = dict.fromkeys(
        op.training
        for op in module.ops
        if isinstance(op, lotto.TrainOp | lotto.TrainSparseOp | lotto.FindOp)
        and op.training is not None
    )
    return Origin(
        {"ir": {"sha256": _sha256(source)}},
        models,
        {str(n): from_dictionary(training) for n, training in enumerate(trainings, start=1)},
    )


def _name(source: Source, folder: Path) -> str:
    """An imported file as any machine can call it: seen from the recipe, or as a preset."""
    shipped = Path(str(files("lottoc")))
    if Path(source.name).is_relative_to(shipped):
        return Path(source.name).relative_to(shipped).as_posix()
    return Path(os.path.relpath(source.name, folder)).as_posix()


def _sha256(source: Source) -> str:
    return hashlib.sha256(source.text.encode()).hexdigest()
