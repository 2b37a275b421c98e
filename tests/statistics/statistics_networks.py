"""Networks small enough to differentiate by hand or by differences, in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from lottoc.frontends.data import Arrays
from lottoc.statistics.network import TorchNetwork
from lottoc.training.module import state_of


class ByHand(nn.Module):
    """f = w2 · relu(w1 · x) with w = (2, 3); the squared error of `mse` is ½ (f - 5)²."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Linear(1, 1, bias=False, dtype=torch.float64) for _ in "12")
        with torch.no_grad():
            self.first.weight.fill_(2)
            self.second.weight.fill_(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        f = self.second(self.first(x.double()).relu())
        return (f - 5) / 2**0.5 + 1  # the one-hot label of the only class is 1


BY_HAND = Arrays(np.ones((1, 1), np.float32), np.zeros(1, np.int64))
LAYERS_BY_HAND = ["first", "second"]


class Small(nn.Module):
    """Convolution, grouped convolution, batch norm and two linear layers, all float64."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.group = nn.Conv2d(4, 4, 3, stride=2, groups=2)
        self.fc = nn.Linear(16, 5)
        self.out = nn.Linear(5, 3)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.conv(x.double())))
        x = torch.relu(self.group(x)).flatten(1)
        return self.out(torch.tanh(self.fc(x)))


LAYERS = ["conv", "group", "fc", "out"]


def examples(count: int = 12, shape: Sequence[int] = (2, 5, 5), classes: int = 3) -> Arrays:
    """Random examples; every class comes up."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(count, *shape)).astype(np.float32)
    return Arrays(x, np.arange(count, dtype=np.int64) % classes)


def network(
    module: nn.Module,
    data: Arrays | None,
    masks: Mapping[str, np.ndarray] | None = None,
    loss: str = "cross_entropy",
) -> TorchNetwork:
    """As the engine makes it."""
    return TorchNetwork.of(module, state_of(module, None, 0), data, masks, loss)
