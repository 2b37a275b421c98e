"""A small convolutional network for images of 32 x 32 in three colours."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import nn


def convnet() -> nn.Module:
    """Three convolutions that halve the image, then two linear layers; batch norm throughout."""
    layers: list[tuple[str, nn.Module]] = []
    channels = (3, 32, 64, 128)
    for number, (before, after) in enumerate(pairwise(channels), start=1):
        layers += [
            (f"conv{number}", nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)),
            (f"norm{number}", nn.BatchNorm2d(after)),
            (f"relu{number}", nn.ReLU()),
        ]
    layers += [
        ("flat", nn.Flatten()),
        ("fc1", nn.Linear(128 * 16, 256)),
        ("relu4", nn.ReLU()),
        ("fc2", nn.Linear(256, 10)),
    ]
    return nn.Sequential(OrderedDict(layers))
