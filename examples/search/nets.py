"""A space of small convolutional networks for images of 28 by 28."""

from torch import nn


def net(width: int = 8, depth: int = 2, kernel: int = 3) -> nn.Module:
    """So many convolutions of so many channels, each halving the image."""
    layers: list[nn.Module] = [nn.Unflatten(1, (1, 28, 28))]
    channels = 1
    for _ in range(depth):
        layers += [
            nn.Conv2d(channels, width, kernel, padding=kernel // 2),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
