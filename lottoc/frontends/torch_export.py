"""Exporting a trained torch model as dense ONNX under the names its layers have in torch."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from lottoc.diagnostics import InputError, input_error
from lottoc.signature import Signature
from lottoc.training.module import load_model
from lottoc.training.state import State


def export_onnx(
    model: nn.Module,
    state: State,
    sample: NDArray[np.generic],
    path: Path,
    signature: Signature,
) -> None:
    """Write `model` with the weights of `state`, in evaluation mode, batch size left open.

    `sample` is a batch of two or more examples. Raises `InputError`: export-failed where torch
    cannot export the model, export-layer where a layer does not survive.
    """
    load_model(model, state)
    model.eval()
    examples = torch.from_numpy(np.array(sample))
    try:
        with _silence():
            program = torch.onnx.export(
                model,
                (examples,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim.AUTO},),
                verbose=False,
            )
            assert program is not None
            proto = program.model_proto
    except Exception as error:  # the exporter raises whatever its many parts raise
        raise _failed(error) from error
    _name_layers(proto, state, signature)
    _strip(proto)
    path.write_bytes(proto.SerializeToString(deterministic=True))


def _failed(error: Exception) -> InputError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return input_error(
        "export-failed",
        f"torch cannot export the model: {lines[0] if lines else type(error).__name__}",
        help=(
            "try  torch.export.export(model, (x,))  on it alone: control flow that depends on "
            "values must be rewritten",
        ),
    )


def _name_layers(proto: onnx.ModelProto, state: State, signature: Signature) -> None:
    """Give weights that the exporter transposed and renamed their names back."""
    tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
    nameless = [t for t in proto.graph.initializer if len(t.dims) == 2 and "." not in t.name]
    for layer in signature:
        name = f"{layer.name}.weight"
        if name in tensors:
            continue
        weight = state.layer(layer.name)
        twin = next((t for t in nameless if _is_transposed(t, weight)), None)
        if twin is None:
            raise input_error(
                "export-layer",
                f'layer "{layer.name}" is not in the exported model',
                help=("a layer that does not take part in forward() cannot be pruned: leave it out",),
            )
        nameless.remove(twin)
        _rename(proto, twin.name, name)


def _is_transposed(tensor: onnx.TensorProto, weight: NDArray[Any]) -> bool:
    if tuple(tensor.dims) != weight.shape[::-1]:
        return False
    return bool(np.array_equal(numpy_helper.to_array(tensor), weight.T))


def _rename(proto: onnx.ModelProto, old: str, new: str) -> None:
    for tensor in proto.graph.initializer:
        if tensor.name == old:
            tensor.name = new
    for value in proto.graph.value_info:
        if value.name == old:
            value.name = new
    for node in proto.graph.node:
        for position, name in enumerate(node.input):
            if name == old:
                node.input[position] = new


def _strip(proto: onnx.ModelProto) -> None:
    """Drop stack traces, paths and class names: they differ between machines."""
    parts: list[Any] = [proto, proto.graph, *proto.functions]
    parts += [*proto.graph.node, *proto.graph.initializer, *proto.graph.value_info]
    parts += [*proto.graph.input, *proto.graph.output]
    for part in parts:
        part.ClearField("doc_string")
        part.ClearField("metadata_props")


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The exporter talks on every channel there is."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
