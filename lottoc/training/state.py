"""A network at one moment: parameters, buffers and optimizer state as arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.diagnostics import input_error
from lottoc.masks.mask import Mask
from lottoc.signature import parameter_of

MODEL = "model/"
OPTIMIZER = "optimizer/"
MASK = "mask/"
DENSE = "dense/"
SCORE = "score/"


@dataclass(frozen=True)
class State:
    """Arrays by name, and the number of training steps behind them.

    `model/<name>` are parameters and buffers, `optimizer/<parameter>/<slot>` optimizer state,
    `mask/<layer>` the bits of masks that move, `dense/<layer>` weights behind a mask,
    `score/<layer>` what chose it.
    """

    arrays: Mapping[str, NDArray[Any]]
    step: int

    def layer(self, name: str) -> NDArray[Any]:
        """The weight of a prunable layer, canonical as torch stores it."""
        return self.arrays[self.key(name)]

    def key(self, layer: str) -> str:
        """What the weight of a prunable layer is called among the arrays."""
        return parameter_of(layer, self.arrays, MODEL)

    def part(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Arrays under a prefix, without it."""
        names = [name for name in self.arrays if name.startswith(prefix)]
        return {name.removeprefix(prefix): self.arrays[name] for name in names}

    @property
    def model_bytes(self) -> int:
        """Size of parameters and buffers."""
        return sum(array.nbytes for array in self.part(MODEL).values())

    def masks(self) -> dict[str, Mask]:
        """The masks that the weights were under at this moment, if they move."""
        return {name: Mask(self.layer(name).shape, b) for name, b in self.part(MASK).items()}

    def with_masks(self, masks: Mapping[str, NDArray[np.bool_]]) -> State:
        """The same moment with its masks, one bit a weight."""
        bits = {f"{MASK}{name}": Mask.from_bool(mask).bits for name, mask in masks.items()}
        return State({**self.without_masks().arrays, **bits}, self.step)

    def under(self, masks: Mapping[str, NDArray[np.bool_]]) -> State:
        """The same moment with zeros where masks prune."""
        pruned = {self.key(n): np.where(m, self.layer(n), 0) for n, m in masks.items()}
        pruned = {n: a.astype(self.arrays[n].dtype, copy=False) for n, a in pruned.items()}
        return State({**self.arrays, **pruned}, self.step)

    def without_masks(self) -> State:
        """The network and its optimizer alone."""
        return State(_Without(self.arrays, (MASK, DENSE, SCORE)), self.step)

    def without_optimizer(self) -> State:
        """The same moment with a fresh optimizer."""
        kept = [name for name in self.arrays if not name.startswith(OPTIMIZER)]
        return State({name: self.arrays[name] for name in kept}, self.step)

    def save(self, path: Path) -> None:
        """Write a safetensors file; equal states give equal bytes."""
        from safetensors.numpy import save_file

        arrays = {name: np.asarray(self.arrays[name], order="C") for name in sorted(self.arrays)}
        save_file({**arrays, "step": np.array(self.step, dtype=np.int64)}, path)

    @staticmethod
    def load(path: Path) -> State:
        """Open what `save` wrote; an array is read when it is first asked for.

        Raises `InputError` (state-damaged) if the file is missing, cut short or something else.
        """
        from safetensors import SafetensorError, safe_open

        try:
            file: Any = safe_open(path, framework="np")
            step = int(file.get_tensor("step"))
            names = tuple(name for name in file.keys() if name != "step")  # noqa: SIM118
        except (SafetensorError, OSError, TypeError) as error:
            raise input_error("state-damaged", f"cannot read {path}: {error}") from error
        return State(_Stored(file, names), step)


class _Stored(Mapping[str, NDArray[Any]]):
    """The arrays of an open safetensors file, which stays mapped even if it is deleted."""

    def __init__(self, file: Any, names: tuple[str, ...]) -> None:
        self._file, self._names = file, dict.fromkeys(names)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._names:
            raise KeyError(name)
        array: NDArray[Any] = self._file.get_tensor(name)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _Without(Mapping[str, NDArray[Any]]):
    """Arrays whose names begin with none of some prefixes; none is read before it is asked for."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], prefixes: tuple[str, ...]) -> None:
        self._arrays = arrays
        self._names = dict.fromkeys(name for name in arrays if not name.startswith(prefixes))

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._names:
            raise KeyError(name)
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def signed_constant(state: State, layers: Sequence[str], *, by_fan_in: bool = False) -> State:
    """sign(w) times one constant a layer: the standard deviation of its weights, pruned ones
    included, or √(2 / fan-in), which keeps the variance of signals through ReLUs.

    Sources: Zhou et al. 2019, "Deconstructing Lottery Tickets", §4.1 (deviation); Ramanujan et
    al. 2020, "What's Hidden in a Randomly Weighted Neural Network?", §3.3 (fan-in).
    Everything that is no prunable weight stays as it is; optimizer state is dropped.
    """
    arrays = dict(state.without_optimizer().arrays)
    for name in layers:
        weight = state.layer(name)
        fan_in = math.prod(weight.shape[1:])
        constant = math.sqrt(2 / fan_in) if by_fan_in else np.std(weight, dtype=np.float64)
        arrays[state.key(name)] = np.sign(weight) * np.asarray(constant).astype(weight.dtype)
    return State(arrays, 0)


def grafted(state: State, other: State, masks: Mapping[str, NDArray[np.bool_]]) -> State:
    """The weights of `state`, but those of `other` where masks keep, by layer name.

    Everything that is no such weight is as in `state`; optimizer state is dropped.
    """
    arrays = dict(state.without_optimizer().arrays)
    for name, mask in masks.items():
        arrays[state.key(name)] = np.where(mask, other.layer(name), state.layer(name))
    return State(arrays, state.step)
