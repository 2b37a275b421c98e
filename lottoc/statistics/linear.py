"""A network with positive parameters run on positive numbers, where all that it does is linear."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from lottoc.diagnostics import InputError, input_error
from lottoc.statistics.network import TorchNetwork
from lottoc.training.forward import forward

_LINEAR = {
    *("linear", "conv1d", "conv2d", "conv3d", "batch_norm", "embedding"),
    *("relu", "relu_", "leaky_relu", "leaky_relu_", "prelu", "dropout", "dropout1d", "dropout2d"),
    *("dropout3d", "alpha_dropout", "feature_alpha_dropout", "feature_dropout"),
    *(f"{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)),
    *(f"adaptive_{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)),
    *("add", "__add__", "__radd__", "__iadd__", "add_", "sum", "mean", "max", "amax", "clone"),
    *("cat", "concat", "stack", "chunk", "split", "unbind", "pad", "interpolate", "roll"),
    *("view", "reshape", "flatten", "unflatten", "permute", "transpose", "t", "movedim", "select"),
    *(
        "squeeze",
        "unsqueeze",
        "expand",
        "repeat",
        "contiguous",
        "narrow",
        "__getitem__",
        "identity",
    ),
    *("swapaxes", "flip", "tile", "repeat_interleave", "pixel_shuffle", "unfold", "upsample"),
}
"""Functions that keep what is not negative so, and are linear on it or choose among its parts."""
_PRODUCTS = {
    *("mul", "__mul__", "__rmul__", "__imul__", "mul_", "matmul", "__matmul__", "__rmatmul__"),
    *("mm", "bmm", "addmm", "baddbmm", "einsum", "div", "__truediv__"),
}
"""Linear only if no more than one factor is made from the input."""
_IDENTITIES = {
    *("gelu", "silu", "elu", "elu_", "selu", "selu_", "celu", "celu_", "softplus", "mish"),
    *("hardswish", "relu6", "hardtanh", "hardtanh_", "float", "half", "bfloat16", "double", "to"),
    *("type_as", "type"),
}
"""Smooth kin of ReLU, taken for it, and changes of type: what comes in, which is not negative,
goes out."""


def positive_outputs(network: TorchNetwork) -> torch.Tensor:
    """What a network gives for one example of ones when every parameter is its absolute value.

    In float64; a graph for gradients hangs on it. Raises `InputError`: flow-not-linear,
    model-data-shape, torch-forward.
    """
    assert network.data is not None, "the compiler has seen to it that there is data"
    module = network.module.double().eval()
    _make_positive(module)
    example = torch.from_numpy(network.data.x[:1])
    floating = example.is_floating_point()
    ones = torch.ones_like(example, dtype=torch.float64 if floating else example.dtype)
    with _Linear(ones):
        return forward(module, ones)


def _make_positive(module: nn.Module) -> None:
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, _BatchNorm) and part.running_mean is not None:
                part.running_mean.zero_()
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor.abs_()


class _Linear(TorchFunctionMode):
    """Watches every function that a network calls, and refuses those that are not linear.

    A module is refused for what it does and not for what it is called, so that code in a
    `forward` is seen as well.
    """

    def __init__(self, entry: torch.Tensor) -> None:
        super().__init__()
        self.made = {id(entry): entry}  # kept, so that no number comes up again

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        given = list(_tensors([*args, *kwargs.values()]))
        flows = [t for t in given if id(t) in self.made]
        name = str(getattr(func, "__name__", func))
        if not flows and not any(t.requires_grad for t in given):
            return func(*args, **kwargs)  # of constants
        if name in _IDENTITIES:
            return given[0]
        result = func(*args, **kwargs)
        found = [t for t in _tensors([result]) if t.is_floating_point()]
        if found:
            self._check(name, len(flows), args)
        if flows or name == "embedding":
            self.made |= {id(t): t for t in found}
        return result

    @staticmethod
    def _check(name: str, flows: int, args: Any) -> None:
        if name in _LINEAR:
            return
        negative = any(isinstance(a, int | float) and a < 0 for a in args)
        if name not in _PRODUCTS or negative or (flows > 1 and "div" not in name):
            raise _not_linear(name)
        if name in ("div", "__truediv__") and isinstance(args[1], torch.Tensor):
            raise _not_linear(name)


def _not_linear(function: str) -> InputError:
    return input_error(
        "flow-not-linear",
        f"the flow through the network is not defined: it calls {function}, which is not linear "
        "on positive numbers",
        help=("synflow is for networks of linear maps and ReLUs; use snip or grasp",),
    )


def _tensors(values: Iterable[Any]) -> Iterable[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
