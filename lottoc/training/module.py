"""Between a torch module with its optimizer and a `State` of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lottoc.diagnostics import InputError, input_error
from lottoc.frontends.torch_layers import layer_weight_names
from lottoc.signature import parameter_of
from lottoc.training.state import MODEL, OPTIMIZER, State


def named_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """The parameters and buffers of `state_dict`, each under one name.

    A tied tensor has several names; it is kept under that of its first prunable layer, or else
    under the first of all. Raises `InputError` (torch-state) for state that is no tensor.
    """
    named: Mapping[str, Any] = module.state_dict(keep_vars=True)
    layers = [name for name in layer_weight_names(module) if name in named]
    found: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name in [*layers, *named]:
        tensor = named[name]
        if not torch.is_tensor(tensor):
            kind = type(tensor).__name__
            raise input_error("torch-state", f'"{name}" of the model holds {kind}, not a tensor')
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor
    return found


def layer_tensor(named: Mapping[str, torch.Tensor], layer: str) -> torch.Tensor:
    """The weight of a prunable layer among `named_tensors`."""
    return named[parameter_of(layer, named)]


def aliases(module: nn.Module) -> dict[str, list[str]]:
    """All names of each tensor of `named_tensors`, by the one it is kept under."""
    named: Mapping[str, Any] = module.state_dict(keep_vars=True)
    return {
        name: [other for other, value in named.items() if value is tensor]
        for name, tensor in named_tensors(module).items()
    }


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
    named = named_tensors(module)
    arrays = {f"{MODEL}{name}": to_array(tensor) for name, tensor in named.items()}
    if optimizer is not None:
        for name, tensor in named.items():
            for slot, value in optimizer.state.get(tensor, {}).items():
                if value is not None:
                    arrays[f"{OPTIMIZER}{name}/{slot}"] = to_array(torch.as_tensor(value))
    return State(arrays, step)


def load_model(module: nn.Module, state: State) -> None:
    """Give a module the weights and buffers of a state.

    Raises `InputError` (state-mismatch) if the model's code has changed its parameters.
    """
    named, arrays = named_tensors(module), state.part(MODEL)
    if extra := [name for name in arrays if name not in named]:
        raise _mismatch(f'it has no "{extra[0]}"')
    with torch.no_grad():
        for name, tensor in named.items():
            if name not in arrays:
                raise _mismatch(f'"{name}" is new')
            value = to_tensor(arrays[name])
            if value.shape != tensor.shape or value.dtype != tensor.dtype:
                was, now = (f"{list(t.shape)} {t.dtype}" for t in (value, tensor))
                raise _mismatch(f'"{name}" is {now}, not {was}')
            tensor.copy_(value)


def _mismatch(what: str) -> InputError:
    return input_error(
        "state-mismatch",
        f"the model does not fit its weights: {what}",
        help=("the function must build the same network every time it is called",),
    )


def load_optimizer(module: nn.Module, optimizer: torch.optim.Optimizer, state: State) -> None:
    """Give an optimizer the slots of a state; parameters without slots start fresh."""
    named = named_tensors(module)
    for key, value in state.part(OPTIMIZER).items():
        name, _, slot = key.rpartition("/")
        optimizer.state[named[name]][slot] = to_tensor(value)
