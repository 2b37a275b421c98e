"""At how many places one text uses the weights of a language model: it runs without numbers."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from lottoc.diagnostics import InputError, input_error
from lottoc.frontends.exporting import silence
from lottoc.frontends.hf_model import HfModel
from lottoc.frontends.text import TextSource
from lottoc.frontends.torch_places import torch_places


def hf_places(model: HfModel, data: Any) -> dict[str, NDArray[np.float64]]:
    """See `torch_places`; an example is as long as those of `data`, all of its tokens predicted.

    Shapes alone are computed, so no weight is read. Raises `InputError`: flops-unknown, hf-data.
    """
    file = str(model.checkpoint.path)
    length = data.length if isinstance(data, TextSource) else _length(model, data)
    layers = [layer.name for layer in model.signature]
    module = copy.deepcopy(model.module)
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        _empty(module, fake)
        ids = torch.zeros((1, length), dtype=torch.int64)
        return torch_places(module, layers, lambda: _run(module, ids, file), file)


def _run(module: Any, ids: torch.Tensor, file: str) -> None:
    try:
        with silence():
            module(input_ids=ids, use_cache=False)
    except InputError:
        raise
    except Exception as error:  # what transformers raises depends on the model
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else repr(error)
        raise input_error(
            "flops-unknown",
            f"the multiply-adds of the model cannot be counted by shapes alone: {reason}",
            file=file,
            help=("compare  params  instead",),
        ) from error


def _empty(module: nn.Module, fake: FakeTensorMode) -> None:
    """Leave the tensors of a module their shapes, and no numbers."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                empty = torch.empty(parameter.shape, dtype=parameter.dtype)
                part._parameters[name] = nn.Parameter(empty, requires_grad=False)
        for name, buffer in part._buffers.items():
            part._buffers[name] = None if buffer is None else fake.from_tensor(buffer)


def _length(model: HfModel, data: Any) -> int:
    return int(model.batches(data)[0]["input_ids"].shape[1])
