"""The dense model that an artefact is made from: a ticket's own file, or an export from torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.diagnostics import Diagnostic, RecipeError, input_error
from lottoc.engine.evaluate import Engine
from lottoc.engine.models import model_op
from lottoc.ir import lotto
from lottoc.ir.plain import from_dictionary

Masks = Callable[[str], NDArray[np.bool_] | None]


def dense_model(op: lotto.EmitOp | lotto.SwapOp, engine: Engine, folder: Path, mask: Masks) -> Any:
    """The ticket's network as a dense ONNX model: its own file, or an export from torch.

    Raises `InputError`: export-layer for a layer with a mask that the model uses and the file has
    not as a layer, and what exporting raises.
    """
    from lottoc.frontends.onnx_model import open_onnx

    source, held = model_op(op.weights), engine.value(op.weights)
    model = engine.value(source.result)
    if source.source.data == "onnx":
        return model
    name = f"{op.ticket.data} {op.path.data}"
    target = folder / f".{hashlib.sha256(name.encode()).hexdigest()[:16]}.onnx"
    options: dict[str, Any] = {}
    if isinstance(op, lotto.EmitOp):
        options |= from_dictionary(op.options)
    (batch,) = options["batch"] if options.get("fixed") else (None,)
    if source.source.data == "torch":
        lost = model.export_onnx(held, sample(op, engine)[:2], target, batch)
    else:
        from lottoc.backends.onnx.language import export_language
        from lottoc.layerwise.results import changed_layer

        lost = export_language(model, mask, lambda layer: changed_layer(held, layer), target, batch)
    for layer in lost:
        if mask(layer) is not None:
            raise input_error(
                "export-layer",
                f'layer "{layer}" is no layer of the exported model: its weight is merged into '
                "something else, or not multiplied as it is",
                help=("use the layer by calling it, not through its weight",),
            )
    return open_onnx(target)


def sample(op: lotto.EmitOp | lotto.SwapOp, engine: Engine) -> NDArray[Any]:
    """A few examples of what a torch network takes."""
    if op.data is None:
        raise RecipeError(
            [
                Diagnostic(
                    "export-needs-data",
                    f'"{op.path.data}" cannot be exported: the shape of the input is not known',
                    help=("add a data block; its first example gives the input's shape",),
                )
            ]
        )
    data: Any = engine.value(op.data)
    examples: NDArray[Any] = data.split("train").x[:3]
    return examples
