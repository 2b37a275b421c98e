"""Every file that a build reads: when one changes, the build must be run again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lottoc.lower.program import Program

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp


def of_program(recipe: Path, program: Program) -> tuple[Path, ...]:
    """The recipe, what it imports, its models and its data, each once."""
    found = [recipe, *(Path(source.name) for source in program.imports)]
    for model in program.models.values():
        found += _model(model.source, model.path)
    for data in program.data.values():
        found += [path for split in data.splits.values() for path in split.files()]
    found += [Path(emit.target) for emit in program.emits if emit.target.endswith(".toml")]
    return tuple(dict.fromkeys(found))


def of_module(text: Path, module: ModuleOp) -> tuple[Path, ...]:
    """The IR text, and the models and data that it names."""
    from lottoc.ir import lotto
    from lottoc.ir.plain import from_dictionary

    found = [text]
    for op in module.ops:
        if isinstance(op, lotto.ModelOp):
            found += _model(op.source.data, Path(op.path.data))
        elif isinstance(op, lotto.DataOp):
            found += _splits(from_dictionary(op.splits).values())
        elif isinstance(op, lotto.EmitOp):
            target = str(from_dictionary(op.options).get("target", ""))
            found += [Path(target)] if target.endswith(".toml") else []
    return tuple(dict.fromkeys(found))


def _model(source: str, path: Path) -> list[Path]:
    """An ONNX file and its external data; a Python file and what it uses of its folder."""
    if source == "onnx":
        from lottoc.frontends.onnx_model import open_onnx

        return open_onnx(path).files()
    if source in ("hf", "gguf"):
        from lottoc.frontends.hf_files import model_files

        return model_files(path)
    from lottoc.frontends.torch_digest import parts

    return sorted(parts(path))


def _splits(splits: Iterable[Any]) -> Iterator[Path]:
    from lottoc.lower.splits import split_of

    return (path for split in splits for path in split_of(split).files())
