"""A small vision transformer whose projections are linear layers of their own."""

from __future__ import annotations

import torch
from torch import nn


class Attention(nn.Module):
    """Self-attention of several heads; each projection can be pruned by itself."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens [n, length, width] in, as many out."""
        n, length, width = x.shape
        parts = (
            layer(x).reshape(n, length, self.heads, width // self.heads).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        mixed = nn.functional.scaled_dot_product_attention(*parts)
        return self.out(mixed.transpose(1, 2).reshape(n, length, width))


class Block(nn.Module):
    """Attention and two linear layers, normalized before each."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens in, tokens out."""
        x = x + self.attention(self.norm1(x))
        return x + self.down(torch.nn.functional.gelu(self.up(self.norm2(x))))


class Vit(nn.Module):
    """Patches of 4 x 4, a learned place for each, blocks, a mean and ten scores."""

    def __init__(self, side: int, width: int, heads: int, blocks: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, stride=4)
        self.place = nn.Parameter(torch.zeros(1, (side // 4) ** 2, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores for images [n, 3, side, side] in [0, 1]."""
        x = self.patch((x - 0.45) / 0.25).flatten(2).transpose(1, 2) + self.place
        return self.head(self.norm(self.blocks(x)).mean(1))


def vit() -> nn.Module:
    """Six blocks of 192 for images of 32 x 32."""
    return Vit(32, 192, 6, 6)


def vit_small() -> nn.Module:
    """Two blocks of 64 for images of 16 x 16."""
    return Vit(16, 64, 4, 2)
