"""The user's network at work: its outputs, the loss, and what to say when it fails."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from lottoc.diagnostics import InputError, input_error
from lottoc.frontends.data import Arrays

_TORCH = Path(torch.__file__).resolve().parent


def _cross_entropy(output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(output, labels)


def _squared_error(output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean squared distance from the one-hot label."""
    target = functional.one_hot(labels, output.shape[1]).to(output.dtype)
    return functional.mse_loss(output, target)


LOSSES: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cross_entropy": _cross_entropy,
    "mse": _squared_error,
}
"""Mean loss of a batch from scores [n, classes] and class ids [n]."""


def forward(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Scores [n, classes] for a batch that the model may overwrite.

    Raises `InputError`: model-data-shape, torch-forward.
    """
    try:
        output: Any = model(x)
    except InputError:  # of what watches the model at work
        raise
    except Exception as error:  # it is the user's code: anything may come
        raise forward_failed(error, x) from error
    if not torch.is_tensor(output) or output.ndim != 2 or len(output) != len(x):
        found = f"shape {list(output.shape)}" if torch.is_tensor(output) else type(output).__name__
        raise input_error(
            "model-data-shape",
            f"the model gives {found} for {len(x)} examples, not [examples, classes]",
            help=("a classifier returns one row of scores for each example",),
        )
    return output


def check_fit(model: nn.Module, data: Arrays, batch: int | None = None) -> None:
    """A few examples through the network before any work: shapes and number of classes.

    With `batch`, the network is about to be trained: a last batch of one example must pass too.
    Overwrites buffers such as running statistics.
    """
    with torch.no_grad():
        output = forward(model.eval(), torch.from_numpy(data.x[:2].copy()))
        if batch is not None and (len(data.x) % batch == 1 or batch == 1):
            forward(model.train(), torch.from_numpy(data.x[:1].copy()))
    highest = int(data.y.max())
    if highest >= output.shape[1]:
        raise input_error(
            "data-labels",
            f"label {highest} does not fit a model with {output.shape[1]} outputs",
            help=(f"labels run from 0 to {output.shape[1] - 1}",),
        )


def backward(loss: torch.Tensor) -> None:
    """Gradients of a loss; raises `InputError` (torch-backward)."""
    try:
        loss.backward()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise _not_differentiable(error) from error


def differentiate(
    value: torch.Tensor, weights: Sequence[torch.Tensor], *, graph: bool = False, keep: bool = False
) -> list[torch.Tensor]:
    """∂value/∂w for each weight, zero where it does not depend on it.

    With `graph` the result can be differentiated in its turn; with `keep` the value can be asked
    again. Raises `InputError` (torch-backward).
    """
    try:
        found = torch.autograd.grad(
            value,
            weights,
            create_graph=graph,
            retain_graph=graph or keep,
            allow_unused=True,
            materialize_grads=True,
        )
    except RuntimeError as error:
        raise _not_differentiable(error) from error
    return list(found)


def _not_differentiable(error: RuntimeError) -> InputError:
    return input_error(
        "torch-backward",
        f"torch cannot differentiate the model: {_first_line(error)}",
        help=("every operation needs a gradient, computed the same way in every run",),
    )


def forward_failed(error: Exception, x: torch.Tensor) -> InputError:
    """What a model's own code raised on a batch (model-data-shape, torch-forward)."""
    if isinstance(error, RuntimeError | ValueError | IndexError):
        return input_error(
            "model-data-shape",
            f"the model cannot take a batch of shape {list(x.shape)} ({_dtype(x)}): "
            f"{_place(error)}{_first_line(error)}",
            help=("compare the data's shape with what the model's forward expects",),
        )
    return input_error(
        "torch-forward",
        f"the model's forward fails: {_place(error)}{type(error).__name__}: {_first_line(error)}",
        help=("call the model on one batch in a Python session to see where",),
    )


def _dtype(x: torch.Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _place(error: Exception) -> str:
    """The innermost line of the user's own code that the error passed through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)[1:]):
        path = Path(frame.filename).resolve()
        if _TORCH not in path.parents:
            return f"{path.name}:{frame.lineno}: "
    return ""
