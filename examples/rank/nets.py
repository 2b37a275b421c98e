"""Three small convolutional networks for images of 28 by 28."""

from torch import nn


def _net(width: int, depth: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Unflatten(1, (1, 28, 28))]
    channels = 1
    for _ in range(depth):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


def small() -> nn.Module:
    """Two convolutions of 4 channels."""
    return _net(4, 2)


def wide() -> nn.Module:
    """Two convolutions of 32 channels."""
    return _net(32, 2)


def deep() -> nn.Module:
    """Four convolutions of 16 channels."""
    return _net(16, 4)
