"""A small network to train, and a random one of twice the depth to find it in."""

from torch import nn


def trained() -> nn.Module:
    """16 → 8 → 4, ReLU in between, no biases."""
    return nn.Sequential(nn.Linear(16, 8, bias=False), nn.ReLU(), nn.Linear(8, 4, bias=False))


def wide(units: int = 60) -> nn.Module:
    """Two layers for each of those: `units` hidden units for each input, weights from U(-2, 2)."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((16, 8), (8, 4)):
        hidden = units * inputs
        layers += [nn.Linear(inputs, hidden, bias=False), nn.ReLU()]
        layers += [nn.Linear(hidden, outputs, bias=False), nn.ReLU()]
    for layer in layers[::2]:
        nn.init.uniform_(layer.weight, -2, 2)
    return nn.Sequential(*layers[:-1])
