"""Between a torch module with its optimizer and a `State` of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lottoc.diagnostics import input_error
from lottoc.training.state import MODEL, OPTIMIZER, State


def to_array(tensor: torch.Tensor) -> NDArray[Any]:
    """A copy of a tensor as an array; bfloat16 keeps its bits through ml_dtypes."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return tensor.view(torch.int16).numpy().copy().view(ml_dtypes.bfloat16)
    return tensor.numpy().copy()


def to_tensor(array: NDArray[Any]) -> torch.Tensor:
    """A tensor of its own with an array's values."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def state_of(module: nn.Module, optimizer: torch.optim.Optimizer | None, step: int) -> State:
    """Everything a training needs to go on from here."""
    arrays = {f"{MODEL}{name}": to_array(value) for name, value in module.state_dict().items()}
    if optimizer is not None:
        for name, parameter in module.named_parameters():
            for slot, value in optimizer.state.get(parameter, {}).items():
                if value is not None:
                    arrays[f"{OPTIMIZER}{name}/{slot}"] = to_array(torch.as_tensor(value))
    return State(arrays, step)


def load_model(module: nn.Module, state: State) -> None:
    """Give a module the weights and buffers of a state.

    Raises `InputError` (state-mismatch) if the model's code has changed its parameters.
    """
    tensors = {name: to_tensor(array) for name, array in state.part(MODEL).items()}
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise input_error(
            "state-mismatch", f"the model does not fit its weights: {error}"
        ) from None


def load_optimizer(module: nn.Module, optimizer: torch.optim.Optimizer, state: State) -> None:
    """Give an optimizer the slots of a state; parameters without slots start fresh."""
    slots = state.part(OPTIMIZER)
    for name, parameter in module.named_parameters():
        own = {
            key.rpartition("/")[2]: to_tensor(value)
            for key, value in slots.items()
            if key.rpartition("/")[0] == name
        }
        if own:
            optimizer.state[parameter] = own
