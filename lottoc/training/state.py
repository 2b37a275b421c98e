"""A network at one moment: parameters, buffers and optimizer state as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.diagnostics import input_error

MODEL = "model/"
OPTIMIZER = "optimizer/"


@dataclass(frozen=True)
class State:
    """Arrays by name, and the number of training steps behind them.

    `model/<name>` are parameters and buffers, `optimizer/<parameter>/<slot>` optimizer state.
    """

    arrays: Mapping[str, NDArray[Any]]
    step: int

    def layer(self, name: str) -> NDArray[Any]:
        """The weight of a prunable layer, canonical as torch stores it."""
        return self.arrays[f"{MODEL}{name}.weight"]

    def part(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Arrays under a prefix, without it."""
        return {
            name.removeprefix(prefix): array
            for name, array in self.arrays.items()
            if name.startswith(prefix)
        }

    def without_optimizer(self) -> State:
        """The same moment with a fresh optimizer."""
        kept = {k: v for k, v in self.arrays.items() if not k.startswith(OPTIMIZER)}
        return State(kept, self.step)

    def save(self, path: Path) -> None:
        """Write a safetensors file; equal states give equal bytes."""
        from safetensors.numpy import save_file

        arrays = {name: np.ascontiguousarray(self.arrays[name]) for name in sorted(self.arrays)}
        save_file({**arrays, "step": np.array(self.step, dtype=np.int64)}, path)

    @staticmethod
    def load(path: Path) -> State:
        """Read what `save` wrote; raises `InputError` if the file is damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            arrays = load_file(path)
        except (SafetensorError, OSError) as error:
            raise input_error("state-damaged", f"cannot read {path}: {error}") from error
        step = int(arrays.pop("step"))
        return State(arrays, step)


def signed_constant(state: State, layers: Sequence[str]) -> State:
    """sign(w) times the standard deviation of the layer's weights, pruned ones included.

    Source: Zhou et al. 2019, "Deconstructing Lottery Tickets", §4.1 (signed constant).
    Everything that is no prunable weight stays as it is; optimizer state is dropped.
    """
    arrays = dict(state.without_optimizer().arrays)
    for name in layers:
        weight = state.layer(name)
        deviation = np.std(weight, dtype=np.float64).astype(weight.dtype)
        arrays[f"{MODEL}{name}.weight"] = np.sign(weight) * deviation
    return State(arrays, 0)
