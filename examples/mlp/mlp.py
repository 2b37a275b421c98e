"""A multi-layer perceptron, wide enough that running it faster matters."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def mlp() -> nn.Module:
    """784-1024-1024-10 with ReLU, for images of 28 x 28 as rows of 784 numbers."""
    layers = [
        ("fc1", nn.Linear(784, 1024)),
        ("relu1", nn.ReLU()),
        ("fc2", nn.Linear(1024, 1024)),
        ("relu2", nn.ReLU()),
        ("fc3", nn.Linear(1024, 10)),
    ]
    return nn.Sequential(OrderedDict(layers))
