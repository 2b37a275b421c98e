"""A torch network as statistics see it: weights in place, masks applied, examples at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lottoc.frontends.data import Arrays
from lottoc.masks.mask import stream
from lottoc.statistics import Norm
from lottoc.training.forward import LOSSES, check_fit, forward
from lottoc.training.masked import HeldMasks
from lottoc.training.module import layer_tensor, load_model, named_tensors
from lottoc.training.state import State

_MOST = 256
"""Examples that go through the network together."""


@dataclass(frozen=True)
class TorchNetwork:
    """The network whose weights are scored, as a module of its own that may be overwritten.

    `masks` are True where a weight is kept; masked weights are zero in `module`. `data` is None
    where the ticket has none.
    """

    module: nn.Module
    data: Arrays | None
    masks: Mapping[str, NDArray[np.bool_]]
    loss: str = "cross_entropy"

    @staticmethod
    def of(
        module: nn.Module,
        state: State,
        data: Arrays | None,
        masks: Mapping[str, NDArray[np.bool_]] | None = None,
        loss: str = "cross_entropy",
    ) -> TorchNetwork:
        """Load weights and apply masks; raises `InputError`: state-mismatch."""
        load_model(module, state)
        network = TorchNetwork(module, data, masks or {}, loss)
        held = network.weights(list(network.masks))
        HeldMasks((held[name], mask) for name, mask in network.masks.items()).project_weights()
        return network

    def weights(self, layers: Sequence[str]) -> dict[str, nn.Parameter]:
        """The weight of each layer."""
        named = named_tensors(self.module)
        found = {name: layer_tensor(named, name) for name in layers}
        for weight in found.values():
            weight.requires_grad_(True)  # a weight that is not trained can be pruned all the same
        return found  # type: ignore[return-value]

    def deterministic(self, norm: Norm) -> None:
        """Evaluation mode, so that dropout drops nothing; batch norm as `norm` says."""
        self.module.eval()
        if norm == "batch":
            for part in self.module.modules():
                if isinstance(part, _BatchNorm):
                    part.train()

    def batches(self, samples: int, seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Examples drawn in balance over the classes, in parts of nearly equal size.

        All of them if there are no more than `samples`. Raises `InputError`: model-data-shape,
        data-labels.
        """
        assert self.data is not None, "the compiler has seen to it that there is data"
        rows = balanced(self.data.y, samples, seed)
        check_fit(self.module, self.data)
        parts = np.array_split(rows, -(-len(rows) // _MOST))
        return [
            (torch.from_numpy(self.data.x[part]), torch.from_numpy(self.data.y[part]))
            for part in parts
        ]

    def losses(
        self, batches: Sequence[tuple[torch.Tensor, torch.Tensor]], temperature: float = 1.0
    ) -> Iterator[torch.Tensor]:
        """Loss of each batch, weighted so that they add up to the mean over all examples.

        Scores of classes are divided by `temperature` first. Raises `InputError`:
        model-data-shape, torch-forward.
        """
        total = sum(len(y) for _, y in batches)
        for x, y in batches:
            output = forward(self.module, x.clone())
            yield LOSSES[self.loss](output / temperature, y) * (len(y) / total)

    @staticmethod
    def grad(weight: nn.Parameter) -> torch.Tensor:
        """The gradient of a weight: zero where the loss does not depend on it."""
        return torch.zeros_like(weight) if weight.grad is None else weight.grad

    @staticmethod
    def zeros(weights: Mapping[str, nn.Parameter]) -> dict[str, torch.Tensor]:
        """Somewhere to add up, of the weights' shapes and types."""
        return {name: torch.zeros_like(weight.detach()) for name, weight in weights.items()}

    def mask(self, values: Mapping[str, torch.Tensor]) -> None:
        """Set to zero, in place, what belongs to pruned weights."""
        for name in values.keys() & self.masks.keys():
            values[name][torch.from_numpy(~self.masks[name])] = 0

    def masked(self, layer: str, values: torch.Tensor) -> NDArray[Any]:
        """An array of a layer's values, zero where its weight is pruned."""
        wide = values.detach() if values.element_size() >= 4 else values.detach().float()
        array: NDArray[Any] = wide.contiguous().numpy().copy()
        if layer in self.masks:
            array[~self.masks[layer]] = 0
        return array


def balanced(y: NDArray[np.int64], samples: int, seed: int) -> NDArray[np.int64]:
    """Row numbers of `samples` examples drawn from (`seed`), each class in turn as long as it has
    any; in ascending order. All rows if there are no more."""
    if samples >= len(y):
        return np.arange(len(y))
    order = np.argsort(stream(seed, "samples").bit_generator.random_raw(len(y)), kind="stable")
    by_class = order[np.argsort(y[order], kind="stable")]
    _, first = np.unique(y[by_class], return_index=True)
    turn = np.arange(len(y)) - np.repeat(first, np.diff([*first, len(y)]))
    # in turn n stands the n-th example drawn of each class
    best = np.argsort(turn, kind="stable")[:samples]
    return np.sort(by_class[best])
