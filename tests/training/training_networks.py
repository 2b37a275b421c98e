"""Small networks and data that the training tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from lottoc.frontends.data import Arrays
from lottoc.frontends.torch_model import TorchModel


class Mlp(nn.Module):
    """6 → 8 → 3."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(6, 8)
        self.fc2 = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(torch.relu(self.fc1(x)))


class ConvNet(nn.Module):
    """A convolution, batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn(self.conv(x.reshape(len(x), 1, 4, 4))))
        return self.fc(self.drop(x.flatten(1)))


class TiedTokens(nn.Module):
    """An embedding whose matrix is the output layer too."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(10, 8)
        self.mid = nn.Linear(8, 8)
        self.head = nn.Linear(8, 10, bias=False)
        self.head.weight = self.emb.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.mid(self.emb(x)).mean(1))


def model(make: type[nn.Module]) -> TorchModel:
    return TorchModel(Path("net.py"), make)


def images(count: int = 50, features: int = 6, classes: int = 3, dtype=np.float32) -> Arrays:
    stream = np.random.default_rng(7)
    x = stream.normal(size=(count, features)).astype(dtype)
    return Arrays(x, stream.integers(0, classes, count).astype(np.int64))


def tokens(count: int = 30) -> Arrays:
    stream = np.random.default_rng(8)
    return Arrays(stream.integers(0, 10, (count, 4)), stream.integers(0, 10, count))


def random_masks(module: nn.Module, *layers: str, density: float = 0.4) -> dict[str, np.ndarray]:
    stream = np.random.default_rng(9)
    shapes = {name: tuple(module.get_submodule(name).weight.shape) for name in layers}
    return {name: stream.random(shape) < density for name, shape in shapes.items()}
