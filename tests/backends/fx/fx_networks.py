"""Networks that are hard to rewrite, and masks for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from lottoc.backends.fx.network import Network, masked_network
from lottoc.frontends.torch_model import TorchModel
from lottoc.signature import Layer


class Mlp(nn.Module):
    """16 → 32 → 4, with a layer that is called twice and one that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(16, 32)
        self.twice = nn.Linear(32, 32)
        self.norm = nn.BatchNorm1d(32)
        self.drop = nn.Dropout(0.5)
        self.never = nn.Linear(8, 8)
        self.last = nn.Linear(32, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(torch.relu(self.twice(torch.relu(self.first(x)))))
        return self.last(self.drop(torch.relu(self.twice(x))))


class Tied(nn.Module):
    """Two layers with one weight, which is an embedding as well."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(40, 16)
        self.mid = nn.Linear(16, 16)
        self.head = nn.Linear(16, 40)
        self.other = nn.Linear(16, 40, bias=False)
        self.head.weight = self.other.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.mid(self.embedding(tokens)))
        return self.head(hidden) + self.other(hidden)


class ByHand(nn.Module):
    """Weights that are used otherwise than by calling their layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(16, 8)
        self.b = nn.Linear(8, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.linear(x, self.a.weight * 2.0)
        return x @ self.b.weight.t() + self.a.weight.sum()


class Attention(nn.Module):
    """A transformer block on sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(x)).mean(1)


class Convolutions(nn.Module):
    """A convolution, a grouped one, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(4, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 8, 3, groups=2)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.b(torch.relu(self.a(x)))).mean((2, 3)))


INPUTS: dict[type[nn.Module], tuple[int, ...]] = {
    Mlp: (16,),
    Tied: (5,),
    ByHand: (16,),
    Attention: (6, 16),
    Convolutions: (4, 5, 5),
}
LINEAR = (Mlp, Tied, ByHand, Attention)


def sample(make: type[nn.Module], count: int = 3) -> np.ndarray:
    draw = np.random.default_rng(7)
    shape = (count, *INPUTS[make])
    if make is Tied:
        return draw.integers(0, 40, shape)
    return draw.normal(size=shape).astype(np.float32)


def two_of_four(layer: Layer) -> np.ndarray:
    """A random 2:4 mask, some quads of which keep less."""
    draw = np.random.default_rng([*map(ord, layer.name)])
    rows, columns = layer.shape[:2]
    ranks = draw.random((rows, columns // 4, 4)).argsort(-1).argsort(-1)
    fewer = draw.random((rows, columns // 4, 4)) < 0.9
    return ((ranks < 2) & fewer).reshape(rows, columns)


def scattered(layer: Layer) -> np.ndarray:
    """A tenth of the weights, anywhere."""
    return np.random.default_rng(len(layer.name)).random(layer.shape) < 0.1


def network(
    make: type[nn.Module],
    mask: Callable[[Layer], np.ndarray | None] = two_of_four,
    dtype: torch.dtype = torch.float32,
) -> Network:
    def build() -> nn.Module:
        built = make()
        for part in built.modules():
            if isinstance(part, nn.BatchNorm1d):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2.0)
        return built.to(dtype)

    model = TorchModel(Path("net.py"), build)
    signature = model.signature()
    masks = {layer.name: mask(layer) for layer in signature}
    return masked_network(model, model.initial_state(0), masks.get)
