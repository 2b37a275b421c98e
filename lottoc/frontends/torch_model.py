"""Models from Python files: a function that returns an `nn.Module`."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lottoc.diagnostics import InputError, did_you_mean, input_error
from lottoc.frontends.torch_call import parse_call
from lottoc.frontends.torch_digest import read_source
from lottoc.frontends.torch_import import UserFile
from lottoc.signature import Signature

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from lottoc.training.state import State


@dataclass(frozen=True)
class TorchModel:
    """A network that can be built again and again.

    `make` takes no arguments and gives a fresh module; `source` is the file it was found in, if
    that was run by `open_torch`.
    """

    file: Path
    make: Callable[[], nn.Module]
    source: UserFile | None = None
    call: str = ""
    """How that file's function is called."""

    def build(self, seed: int) -> nn.Module:
        """A fresh module whose initial weights depend on `seed` alone.

        The seed reaches torch, numpy and Python's `random`; their global states are put back. A
        module that is itself a layer comes inside an `nn.Sequential`, so that it has a name.
        Raises `InputError`: torch-model if the function fails, torch-not-a-module, torch-layer
        for a module that does not know its shapes yet.
        """
        import torch
        from torch.nn.parameter import is_lazy

        from lottoc.frontends.torch_layers import layer_weights
        from lottoc.training.settings import seeded

        with seeded(seed), self._running():
            module: Any = self.make()
        if not isinstance(module, torch.nn.Module):
            name = getattr(self.make, "__name__", "the function")
            raise self._error(
                "torch-not-a-module",
                f"{name}() returned {type(module).__name__}, not an nn.Module",
            )
        state = [*module.named_parameters(), *module.named_buffers()]
        for name, tensor in state:
            if is_lazy(tensor):
                layer = name.rpartition(".")[0]
                raise self._error(
                    "torch-layer", f'layer "{layer}" is lazy', "give the layer its input size"
                )
        itself = any(leaf == "weight" for leaf, _ in layer_weights(module))
        return torch.nn.Sequential(module) if itself else module

    def signature(self) -> Signature:
        """The prunable layers in order of registration; a tied weight once.

        Raises `InputError` (torch-layer) for a weight that cannot be masked as it stands.
        """
        from lottoc.frontends.torch_layers import UnfitLayer, signature_of

        try:
            return signature_of(self.build(0))
        except UnfitLayer as error:
            raise self._error("torch-layer", str(error)) from error

    def initial_state(self, seed: int) -> State:
        """The weights and buffers the model starts with."""
        from lottoc.training.module import state_of

        return state_of(self.build(seed), None, 0)

    def export_onnx(
        self, state: State, sample: NDArray[np.generic], path: Path, batch: int | None = None
    ) -> list[str]:
        """Write the network with the weights of `state` as a dense ONNX file.

        See `lottoc.frontends.torch_export.export_onnx` for the arguments, what is given back and
        the errors raised.
        """
        from lottoc.frontends.torch_export import export_onnx

        return export_onnx(self.build(0), state, sample, path, self.signature(), batch)

    def _running(self) -> AbstractContextManager[None]:
        if self.source is None:
            return nullcontext()
        return self.source.active("torch-model", f"what lottoc calls is  {self.call}")

    def _error(self, code: str, message: str, *help: str) -> InputError:
        return input_error(code, message, file=str(self.file), help=help)


def open_torch(file: Path, function: str) -> TorchModel:
    """Run a Python file and find the function that builds the model: `net`, or `net(width=16)`.

    Raises `InputError`: model-not-found, torch-missing, torch-import, torch-function.
    """
    source = read_source(file)
    if importlib.util.find_spec("torch") is None:
        raise input_error(
            "torch-missing",
            "this model needs torch, which is not installed",
            file=str(file),
            help=('pip install "lottoc[torch]"',),
        )
    user_file = UserFile(file)
    names = user_file.run(source)
    name, arguments = parse_call(function) or (function, {})
    found = names.get(name)
    if not callable(found):
        callables = [n for n, v in names.items() if inspect.isfunction(v) or inspect.isclass(v)]
        raise input_error(
            "torch-function",
            f'the file has no function "{name}"',
            file=str(file),
            help=did_you_mean(name, callables),
        )
    make = partial(found, **arguments) if arguments else found
    return TorchModel(file, make, user_file, function if arguments else f"{name}()")
