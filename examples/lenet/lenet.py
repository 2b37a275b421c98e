"""LeNet-300-100, the network of the first lottery-ticket experiments."""

import torch
from torch import nn


class LeNet(nn.Module):
    """784 → 300 → 100 → 10 with ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 300)
        self.fc2 = nn.Linear(300, 100)
        self.fc3 = nn.Linear(100, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits for images [n, 784]."""
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.fc3(x)


def lenet_300_100() -> nn.Module:
    """A fresh network; the caller seeds the random numbers."""
    return LeNet()
