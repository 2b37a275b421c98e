"""At how many places one example uses the weights of a torch network: its products, as they run.

Products are watched below the modules, by the storage of what they multiply. So it does not matter
who asks for one: a layer that is called, several modules that share a weight, attention or a
recurrent layer that cuts theirs up, or a `forward` that takes a layer's weight by hand.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lottoc.diagnostics import InputError, input_error
from lottoc.frontends.places import narrowed
from lottoc.training.forward import forward_failed
from lottoc.training.module import layer_tensor, named_tensors

Tensor = torch.Tensor


def torch_places(
    module: nn.Module, layers: Sequence[str], run: Callable[[], object], file: str
) -> dict[str, NDArray[np.float64]]:
    """For each layer a number, or an array that broadcasts to its weight; 0 if it is not used.

    `run` runs the module on one example. Raises `InputError`: flops-unknown for a layer whose
    weight is computed with before it is multiplied, and what `run` raises.
    """
    named = named_tensors(module)
    watch = _Watch({layer: layer_tensor(named, layer) for layer in layers})
    with _plainly(), torch.no_grad(), watch:
        run()
    for layer, operator in watch.obstacles.items():
        raise input_error(
            "flops-unknown",
            f'the multiply-adds of layer "{layer}" cannot be counted: {operator} computes with '
            "its weight before it is multiplied",
            file=file,
            help=("call the layer, or multiply its weight as it is",),
        )
    return {layer: watch.places(layer) for layer in layers}


def run_example(module: nn.Module, x: NDArray[Any]) -> None:
    """A module on one example, in evaluation mode; raises `InputError`: model-data-shape,
    torch-forward."""
    batch = torch.from_numpy(x.copy())
    try:
        module.eval()(batch)
    except InputError:
        raise
    except Exception as error:  # it is the user's code: anything may come
        raise forward_failed(error, batch) from error


@dataclass(frozen=True)
class _Product:
    """An operator that multiplies: which arguments it does, and how often, given what it makes."""

    operands: tuple[int, ...]
    count: Callable[[Sequence[Any], Tensor], int]


def _inner(left: int) -> Callable[[Sequence[Any], Tensor], int]:
    def count(given: Sequence[Any], made: Tensor) -> int:
        return made.numel() * int(given[left].shape[-1])

    return count


def _convolved(given: Sequence[Any], made: Tensor) -> int:
    x, weight, transposed = given[0], given[1], given[6]
    ends: Tensor = x if transposed else made
    return ends.numel() * int(math.prod(weight.shape[1:]))


_ATEN = torch.ops.aten
_PRODUCTS: Mapping[Any, _Product] = {
    _ATEN.mm: _Product((0, 1), _inner(0)),
    _ATEN.addmm: _Product((1, 2), _inner(1)),
    _ATEN._addmm_activation: _Product((1, 2), _inner(1)),
    _ATEN.bmm: _Product((0, 1), _inner(0)),
    _ATEN.baddbmm: _Product((1, 2), _inner(1)),
    _ATEN.mv: _Product((0, 1), _inner(0)),
    _ATEN.addmv: _Product((1, 2), _inner(1)),
    _ATEN.convolution: _Product((0, 1), _convolved),
    _ATEN._convolution: _Product((0, 1), _convolved),
}
_LOOKING_UP = {_ATEN.embedding, _ATEN.index, _ATEN.index_select, _ATEN.gather}
"""They take numbers out of a table, as of an embedding that shares its weight with a layer."""
_COPYING = {_ATEN.clone, _ATEN._to_copy}


@dataclass(frozen=True)
class _Home:
    """Where in a storage the weight of a layer lies."""

    layer: str
    offset: int
    size: int
    copied: bool = False


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weights = weights
        self.homes: dict[int, list[_Home]] = {}
        for layer, weight in weights.items():
            home = _Home(layer, int(weight.storage_offset()), weight.numel())
            self.homes.setdefault(_storage(weight), []).append(home)
        self.whole = dict.fromkeys(weights, 0.0)
        self.parts: dict[int, NDArray[np.float64]] = {}
        """By storage, how often each number in it was used, where a part was used by itself."""
        self.obstacles: dict[str, str] = {}
        self.held: list[Tensor] = []
        """Copies of weights, so that no other tensor gets their place in memory."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        known = [t for t in given if _storage(t) in self.homes]
        if known and func.namespace == "aten":
            with self:  # in inference mode operators come that are made of others
                made = func.decompose(*args, **(kwargs or {}))
            if made is not NotImplemented:
                return made
        made = func(*args, **(kwargs or {}))
        if known:
            self._saw(func.overloadpacket, args, known, made)
        return made

    def _saw(self, operator: Any, args: Sequence[Any], known: list[Tensor], made: Any) -> None:
        outputs = [t for t in tree_leaves(made) if isinstance(t, Tensor)]
        product = _PRODUCTS.get(operator)
        if operator in _LOOKING_UP or all(_storage(t) in self.homes for t in outputs):
            return
        if product is None:
            copied = operator in _COPYING and self._copied(known[0], outputs[0])
            self._refuse([] if copied else known, operator)
            return
        operands = [args[i] for i in product.operands if any(args[i] is t for t in known)]
        if len(operands) != len(known):  # weights of two layers, multiplied or added
            self._refuse(known, operator)
        elif len(operands) > 1:
            self._refuse(operands, operator)
        else:
            self._used(operands[0], product.count(args, outputs[0]), operator)

    def _refuse(self, tensors: Sequence[Tensor], operator: Any) -> None:
        for tensor in tensors:
            for home in self.homes[_storage(tensor)]:
                self.obstacles.setdefault(home.layer, str(operator))

    def _whole(self, view: Tensor) -> _Home | None:
        """The layer of which a view is all of the weight, however it is turned."""
        size = math.prod(n for n, step in zip(view.shape, view.stride(), strict=True) if step)
        for home in self.homes[_storage(view)]:
            if (home.offset, home.size) == (view.storage_offset(), size):
                return home
        return None

    def _copied(self, view: Tensor, made: Tensor) -> bool:
        home = self._whole(view)
        if home is None or made.numel() != home.size:
            return False
        self.held.append(made)
        self.homes[_storage(made)] = [_Home(home.layer, 0, home.size, copied=True)]
        return True

    def _used(self, view: Tensor, products: int, operator: Any) -> None:
        steps = view.stride()
        # what is expanded is there once, and used as often as it is repeated
        shape = [n if step else 1 for n, step in zip(view.shape, steps, strict=True)]
        times = products / max(1, math.prod(shape))
        if home := self._whole(view):
            self.whole[home.layer] += times
            return
        storage = _storage(view)
        if any(home.copied for home in self.homes[storage]):
            self._refuse([view], operator)
            return
        if storage not in self.parts:
            count = view.untyped_storage().nbytes() // view.element_size()
            self.parts[storage] = np.zeros(count)
        part = _seen_so(self.parts[storage], shape, steps, int(view.storage_offset()))
        part += times

    def places(self, layer: str) -> NDArray[np.float64]:
        """How often each weight of a layer was used: as few numbers as tell it."""
        weight, found = self.weights[layer], np.asarray(self.whole[layer])
        parts = self.parts.get(_storage(weight))
        if parts is None:
            return found
        begin = int(weight.storage_offset())
        mine = _seen_so(parts, weight.shape, weight.stride(), begin)
        return narrowed(mine + found)


def _seen_so(
    numbers: NDArray[np.float64], shape: Sequence[int], steps: Sequence[int], offset: int
) -> NDArray[np.float64]:
    """A part of flat numbers as a tensor sees its storage; tensors may have no numbers to see."""
    strides = [step * numbers.itemsize for step in steps]
    return np.lib.stride_tricks.as_strided(numbers[offset:], shape, strides)


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


@contextmanager
def _plainly() -> Iterator[None]:
    """No kernel that does the work of several operators: each product is seen by itself."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with torch.backends.mkldnn.flags(enabled=False):
                yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
