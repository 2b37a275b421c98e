"""Batch sizes of an artefact: `batch = 8`, `batch = [1, 32]`, and `batch = fixed(1)`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lottoc.diagnostics import Label
from lottoc.grammar import syntax
from lottoc.lower.program import Emit, Model
from lottoc.lower.read import Reader

MOST = 1 << 16
"""The largest size that can be fixed."""


@dataclass(frozen=True)
class Batch:
    """Sizes that a model will run with; if `fixed`, the one size that it takes."""

    sizes: tuple[int, ...]
    fixed: bool = False


def read_batch(reader: Reader, value: syntax.Value) -> Batch | None:
    """One size, a list of them, or `fixed(…)`."""
    value = reader.resolve(value)
    match value:
        case syntax.Call(
            function=syntax.Name(value="fixed"), arguments=(syntax.Argument(name=None),)
        ):
            size = reader.integer(value.arguments[0].value, least=1)
            if size is not None and size > MOST:
                message = f"{size} is too large: a model is exported with so many examples, {MOST}"
                reader.findings.error("out-of-range", f"{message} at most", value.span)
                return None
            return None if size is None else Batch((size,), fixed=True)
        case syntax.Call() | syntax.Name():
            help = "for example  batch = fixed(1)"
            reader.mismatch(value, "a batch size, or fixed(…) with one", help=help)
            return None
        case syntax.ListValue(items=items):
            sizes = [reader.integer(item, least=1) for item in items]
        case _:
            sizes = [reader.integer(value, least=1)]
    if not sizes:
        reader.mismatch(value, "batch sizes, such as [1, 32]")
    known = tuple(size for size in sizes if size is not None)
    return Batch(known) if known and len(known) == len(sizes) else None


def check_fixed(
    reader: Reader, keys: Mapping[str, syntax.Entry], emit: Emit, model: Model | None
) -> None:
    """A size can be fixed where lottoc exports the model, as a file of its own."""
    labels, help = [Label(keys["batch"].span)], f"write  batch = {emit.batch[0]}"
    if emit.kind != "onnx":
        message = f"emit {emit.kind} has no models of one batch size"
    elif emit.swaps:
        message = "a core into which specialists are swapped takes any batch"
        labels.append(Label(keys["swap"].span))
    elif model is not None and model.source == "onnx":
        message = f'"{model.name}" is ONNX already, and keeps the sizes that it has'
        help += ", or fix the size in its file: onnxruntime.tools.make_dynamic_shape_fixed"
    else:
        return
    reader.findings.error("batch-fixed", message, *labels, help=help)
