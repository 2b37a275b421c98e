"""Models from Python files: a function that returns an `nn.Module`."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lottoc.diagnostics import InputError, input_error
from lottoc.frontends.torch_digest import read_source
from lottoc.signature import Layer, LayerKind, Signature

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from lottoc.training.state import State


@dataclass(frozen=True)
class TorchModel:
    """A network that can be built again and again."""

    file: Path
    make: Callable[[], nn.Module]

    def build(self, seed: int) -> nn.Module:
        """A fresh module whose initial weights are drawn from `seed`; global RNG untouched."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            with _user_code(self.file, "torch-model"):
                module = self.make()
        if not isinstance(module, torch.nn.Module):
            raise input_error(
                "torch-not-a-module",
                f"{self.make.__name__}() returned {type(module).__name__}, not an nn.Module",
                file=str(self.file),
            )
        return module

    def signature(self) -> Signature:
        """The linear and convolution layers in order of registration; tied weights once.

        Raises `InputError` (torch-layer) for a weight that cannot be masked as it stands.
        """
        layers, seen = [], set()
        for name, module in self.build(0).named_modules():
            kind = _kind(module)
            if kind is None:
                continue
            self._check_plain(name, module)
            weight: Any = module.weight
            if id(weight) in seen:
                continue
            seen.add(id(weight))
            dtype = str(weight.dtype).removeprefix("torch.")
            layers.append(Layer(name, kind, tuple(weight.shape), dtype))
        return Signature(tuple(layers))

    def _check_plain(self, name: str, module: nn.Module) -> None:
        import torch
        from torch.nn.parameter import UninitializedParameter
        from torch.nn.utils import parametrize

        parametrized = parametrize.is_parametrized(module)  # type: ignore[no-untyped-call]
        weight = module._parameters.get("weight")
        if parametrized or "weight_orig" in module._parameters:
            problem = "has a parametrized weight; remove the parametrization"
        elif isinstance(weight, UninitializedParameter):
            problem = "is lazy; give it its input size"
        elif not isinstance(weight, torch.nn.Parameter):
            problem = "has no weight parameter of its own"
        else:
            return
        raise input_error("torch-layer", f'layer "{name}" {problem}', file=str(self.file))

    def initial_state(self, seed: int) -> State:
        """The weights and buffers the model starts with."""
        from lottoc.training.module import state_of

        return state_of(self.build(seed), None, 0)

    def export_onnx(self, state: State, sample: NDArray[np.generic], path: Path) -> None:
        """Write the network with the weights of `state` as a dense ONNX file."""
        from lottoc.frontends.torch_export import export_onnx

        export_onnx(self.build(0), state, sample, path, self.signature())


def open_torch(file: Path, function: str) -> TorchModel:
    """Run a Python file and find the function that builds the model.

    Raises `InputError`: torch-missing, model-not-found, torch-import, torch-function.
    """
    source = read_source(file)
    if importlib.util.find_spec("torch") is None:
        raise input_error(
            "torch-missing",
            "this model needs torch, which is not installed",
            file=str(file),
            help=('pip install "lottoc[torch]"',),
        )
    names = _run(file, source)
    found = names.get(function)
    if not callable(found):
        callables = [n for n, v in names.items() if inspect.isfunction(v) or inspect.isclass(v)]
        near = difflib.get_close_matches(function, callables, n=1)
        raise input_error(
            "torch-function",
            f'the file has no function "{function}"',
            file=str(file),
            help=(f'did you mean "{near[0]}"?',) if near else (),
        )
    return TorchModel(file, found)


def _run(file: Path, source: bytes) -> dict[str, Any]:
    """The names a Python file defines; its own folder comes first among imports."""
    folder = str(file.parent.resolve())
    name = f"_lottoc_model_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file.resolve())
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, folder)
    sys.modules[name] = module
    try:
        with _user_code(file, "torch-import"):
            exec(compile(source, str(file), "exec"), module.__dict__)
    finally:
        sys.path.remove(folder)
    return vars(module)


@contextmanager
def _user_code(file: Path, code: str) -> Iterator[None]:
    """Turn whatever a user's code raises into a diagnostic that names their own line."""
    try:
        yield
    except InputError:
        raise
    except SyntaxError as error:
        where = f"line {error.lineno}" if error.lineno else "somewhere"
        raise input_error(code, f"{where}: {error.msg}", file=str(file)) from error
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
        where = f"line {frames[-1].lineno}: " if frames else ""
        text = f"{where}{type(error).__name__}: {error}"
        raise input_error(code, text, file=str(file)) from error


def _kind(module: nn.Module) -> LayerKind | None:
    from torch import nn

    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return "conv"
    return None
