"""Residual networks for small images in three colours."""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    """Two convolutions with batch norm, and a shortcut around them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images in, images out."""
        out = torch.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        return torch.relu(out + self.shortcut(x))


class ResNet(nn.Module):
    """A stem of 3 x 3, stages that halve the image after the first, a mean and ten scores."""

    def __init__(self, widths: tuple[int, ...], blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        stages: list[nn.Module] = []
        before = widths[0]
        for number, after in enumerate(widths):
            for block in range(blocks):
                stages.append(Block(before, after, 2 if number and not block else 1))
                before = after
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(before, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores for images [n, 3, side, side] in [0, 1]."""
        x = torch.relu(self.norm(self.stem((x - 0.45) / 0.25)))
        return self.head(self.stages(x).mean((2, 3)))


def resnet18() -> nn.Module:
    """ResNet-18 for CIFAR-10: 11 million weights."""
    return ResNet((64, 128, 256, 512), 2)


def resnet18_narrow() -> nn.Module:
    """The same with an eighth of the channels."""
    return ResNet((8, 16, 32, 64), 2)


def resnet8() -> nn.Module:
    """Three stages of one block."""
    return ResNet((16, 32, 64), 1)
