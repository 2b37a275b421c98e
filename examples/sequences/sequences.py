"""Images read as sequences, row by row: a small transformer and an LSTM."""

import torch
from torch import nn


class Transformer(nn.Module):
    """28 tokens of 28 pixels each, two encoder layers of 4 heads, the mean of the tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(28, width)
        self.places = nn.Parameter(torch.randn(28, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits for images [n, 784]."""
        x = self.embed(x.unflatten(1, (28, 28))) + self.places
        return self.head(self.encoder(x).mean(1))


def transformer(width: int = 64) -> nn.Module:
    """A fresh network; the caller seeds the random numbers."""
    return Transformer(width)


class Memory(nn.Module):
    """28 steps of 28 pixels each through an LSTM; its last state says the digit."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.memory = nn.LSTM(28, width, batch_first=True)
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits for images [n, 784]."""
        states, _ = self.memory(x.unflatten(1, (28, 28)))
        return self.head(states[:, -1])


def lstm(width: int = 64) -> nn.Module:
    """A fresh network; the caller seeds the random numbers."""
    return Memory(width)
