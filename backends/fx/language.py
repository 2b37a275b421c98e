"""A language model of transformers as a network to export: tokens in, logits out."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lottoc.backends.fx.network import Masks, Network
from lottoc.frontends.exporting import TOKENS
from lottoc.frontends.hf_model import HfModel
from lottoc.training.module import aliases, to_tensor

LENGTH = 8
"""Tokens of the example that a model is traced with; it takes any number."""


def language_network(
    model: HfModel, masks: Masks, changed: Callable[[str], NDArray[Any] | None]
) -> Network:
    """The model with all its weights in memory, in their own types, under its masks.

    `changed` gives the weights that take the place of the file's. A pruned output layer that
    shared its weight with the embedding gets one of its own.
    """
    module = HfModel(model.checkpoint).module
    signature, kept = model.signature, {}
    held: dict[str, nn.Parameter] = {}
    for name, part in module.named_modules():
        for key, parameter in list(part._parameters.items()):
            if parameter is None:
                continue
            stored = model.stored_name(f"{name}.{key}")
            mask = masks(name) if key == "weight" else None
            new = changed(name) if key == "weight" else None
            if mask is None and new is None:
                if stored not in held:
                    held[stored] = _parameter(model.checkpoint.get(stored))
                part._parameters[key] = held[stored]
                continue
            array = model.checkpoint.get(stored) if new is None else new
            if mask is not None:
                kept[name] = torch.from_numpy(mask)
                array = np.where(mask, array, np.zeros((), array.dtype))
            part._parameters[key] = _parameter(array)
    module.forward = MethodType(_logits, module)
    names = {name: tuple(others) for name, others in aliases(module).items()}
    return Network(module.eval(), signature, names, kept, open=TOKENS)


def example(model: HfModel) -> NDArray[np.int64]:
    """Tokens [3, length] that the model knows."""
    words = int(model.module.config.vocab_size)
    return (np.arange(3 * LENGTH, dtype=np.int64) % words).reshape(3, LENGTH)


def _logits(self: Any, input_ids: torch.Tensor) -> torch.Tensor:
    """[batch, length, vocabulary]."""
    found: torch.Tensor = type(self).forward(self, input_ids=input_ids, use_cache=False).logits
    return found


def _parameter(array: NDArray[Any]) -> nn.Parameter:
    return nn.Parameter(to_tensor(array), requires_grad=False)
