"""Examples in the form that an ONNX model's inputs want."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lottoc.diagnostics import input_error
from lottoc.frontends import onnx_schema as schema
from lottoc.frontends.data import Arrays, InputsSource, open_inputs
from lottoc.frontends.protobuf import Message
from lottoc.frontends.text import TextSource, windows
from lottoc.layerwise.walk import Batch

if TYPE_CHECKING:
    from lottoc.frontends.onnx_model import OnnxModel

_TOKENS = 1 << 13
"""Integers of an input that run together, unless one example has more: each becomes a vector."""
_NUMBERS = 1 << 17
"""The same of floats."""

_FROM_TEXT = {"attention_mask": 1, "token_type_ids": 0}
"""Inputs that follow from a text's tokens, and what they hold."""


def onnx_batches(
    model: OnnxModel,
    data: Arrays | InputsSource | TextSource,
    samples: int | None = None,
    share: int = 1,
) -> list[Batch]:
    """Examples by the names of inputs, in batches of a size that the model takes.

    The first `samples`, or all; a model that is bound to a batch size gets whole batches. Batches
    are smaller by `share` where more of what the model computes is to be in memory.

    Raises `InputError`: onnx-inputs, and what reading the data raises.
    """
    wanted = {
        name: message
        for name, message in model.file.inputs.items()
        if name not in model.file.initializers
    }
    arrays = {
        name: _as(wanted[name], array) for name, array in _arrays(model, data, wanted).items()
    }
    count = min((len(array) for array in arrays.values()), default=0)
    largest = max((array[0].size for array in arrays.values()), default=1)
    integers = any(array.dtype.kind in "iu" for array in arrays.values())
    numbers = (_TOKENS if integers else _NUMBERS) // share
    size = _fixed(wanted) or max(1, numbers // max(1, largest))
    if _fixed(wanted) and count < size:
        raise input_error(
            "onnx-inputs",
            f"the model takes {size} examples at a time, and the data has {count}",
            file=str(model.path),
            help=[f"give data at least {size} examples"],
        )
    if samples is not None:
        count = min(count, -(-samples // size) * size if _fixed(wanted) else samples)
    return [
        {name: array[start : min(start + size, count)] for name, array in arrays.items()}
        for start in range(0, count - count % size if _fixed(wanted) else count, size)
    ]


def _arrays(
    model: OnnxModel, data: Arrays | InputsSource | TextSource, wanted: dict[str, Message]
) -> dict[str, NDArray[Any]]:
    if isinstance(data, InputsSource):
        arrays = open_inputs(data)
    elif isinstance(data, Arrays):
        arrays = dict.fromkeys(list(wanted)[:1], data.x)
    else:
        arrays = _from_text(data, wanted)
    for name in wanted:
        if name not in arrays:
            raise _inputs(model, f'the model wants input "{name}"', arrays)
    for name in arrays:
        if name not in wanted:
            raise _inputs(model, f'the model has no input "{name}"', wanted)
    return arrays


def _from_text(data: TextSource, wanted: dict[str, Message]) -> dict[str, NDArray[Any]]:
    ids = windows(data, None)
    arrays: dict[str, NDArray[Any]] = {"input_ids": ids}
    for name, filled in _FROM_TEXT.items():
        if name in wanted:
            arrays[name] = np.full_like(ids, filled)
    if "position_ids" in wanted:
        arrays["position_ids"] = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    return arrays


def _inputs(model: OnnxModel, message: str, known: Any) -> Exception:
    return input_error(
        "onnx-inputs",
        f"{message}, the others are {', '.join(known) or 'none'}",
        file=str(model.path),
        help=['name arrays after inputs:  npz("data.npz", input_ids = "ids", …)'],
    )


def _as(message: Message, array: NDArray[Any]) -> NDArray[Any]:
    """The array in the type of the input."""
    tensor = _tensor_type(message)
    element = tensor.integer(1) if tensor else 0
    try:
        return np.ascontiguousarray(array, schema.numpy_type(element))
    except ValueError:
        return array  # a type unknown here: onnxruntime says what is wrong with it


def _tensor_type(message: Message) -> Message | None:
    kind = message.message(2)
    return kind.message(1) if kind else None


def _fixed(wanted: dict[str, Message]) -> int:
    """The batch size that the model is bound to; 0 if it is open."""
    for message in wanted.values():
        tensor = _tensor_type(message)
        shape = tensor.message(2) if tensor else None
        dims = shape.messages(1) if shape else []
        if dims and (size := dims[0].integer(1)) > 0:
            return size
    return 0
