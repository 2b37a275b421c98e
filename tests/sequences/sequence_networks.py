"""Transformers and recurrent networks, and the same written out in linear layers of their own."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from lottoc.frontends.data import Arrays

WIDTH, HEADS, STEPS, CLASSES = 12, 3, 5, 3


def examples(count: int = 9) -> Arrays:
    """Random sequences [count, steps, width]; every class comes up."""
    draw = np.random.default_rng(5)
    x = draw.normal(size=(count, STEPS, WIDTH)).astype(np.float32)
    return Arrays(x, np.arange(count, dtype=np.int64) % CLASSES)


class Packed(nn.Module):
    """Attention over one sequence, a residual, and a head; in float64."""

    def __init__(self, seed: int = 0, kind: str = "self") -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.kind = kind
        sizes = {"kdim": 8, "vdim": 6} if kind == "separate" else {}
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **sizes)
        self.head = nn.Linear(WIDTH, CLASSES)
        nn.init.normal_(self.attention.in_proj_bias, std=0.3)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.to(self.head.weight.dtype)
        key, value = x, x
        if self.kind == "cross":
            key = value = x.flip(1)
        elif self.kind == "apart":
            key, value = x.flip(1), 2 * x
        elif self.kind == "separate":
            key, value = x[..., :8], x[..., 2:8]
        given = self.attention(x, key, value, need_weights=False)[0]
        return self.head(torch.tanh(x + given).mean(1))


class Split(nn.Module):
    """The same, with a linear layer each for queries, keys and values, and softmax by hand."""

    def __init__(self, packed: Packed) -> None:
        super().__init__()
        self.kind, own = packed.kind, packed.attention
        if own._qkv_same_embed_dim:
            parts = own.in_proj_weight.detach().chunk(3)
        else:
            parts = tuple(w.detach() for w in (own.q_proj_weight, own.k_proj_weight))
            parts += (own.v_proj_weight.detach(),)
        self.q, self.k, self.v = (nn.Linear(p.shape[1], WIDTH).to(p.dtype) for p in parts)
        self.out, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES)
        self.to(parts[0].dtype)
        with torch.no_grad():
            for layer, weight, bias in zip(
                (self.q, self.k, self.v), parts, own.in_proj_bias.chunk(3), strict=True
            ):
                layer.weight.copy_(weight)
                layer.bias.copy_(bias)
            self.out.load_state_dict(own.out_proj.state_dict())
            self.head.load_state_dict(packed.head.state_dict())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.to(self.head.weight.dtype)
        key, value = x, x
        if self.kind == "cross":
            key = value = x.flip(1)
        elif self.kind == "apart":
            key, value = x.flip(1), 2 * x
        elif self.kind == "separate":
            key, value = x[..., :8], x[..., 2:8]
        q, k, v = (
            layer(part).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for layer, part in ((self.q, x), (self.k, key), (self.v, value))
        )
        weights = (q @ k.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5).softmax(-1)
        given = self.out((weights @ v).transpose(1, 2).flatten(2))
        return self.head(torch.tanh(x + given).mean(1))


KINDS = ("self", "cross", "apart", "separate")
PARTS = {
    "self": {"attention.in_proj_weight": ("q", "k", "v")},
    "separate": {f"attention.{p}_proj_weight": (p,) for p in "qkv"},
}
OTHERS = {"attention.out_proj": "out", "head": "head"}


def parts_of(kind: str) -> dict[str, tuple[str, ...]]:
    """By layer of the packed network, the layers of the split one that it stands for."""
    projections = PARTS.get(kind, PARTS["self"])
    return projections | {name: (other,) for name, other in OTHERS.items()}


GATES = {"lstm": 4, "gru": 3, "rnn": 1}
HIDDEN = 6


class Recurrent(nn.Module):
    """A recurrent layer over a sequence, and a head on its last step; in float64."""

    def __init__(self, kind: str = "lstm", seed: int = 0, **options: object) -> None:
        super().__init__()
        torch.manual_seed(seed)
        make: type[nn.RNNBase] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[kind]
        self.memory = make(WIDTH, HIDDEN, batch_first=True, **options)  # type: ignore[arg-type]
        width = options.get("proj_size", HIDDEN) * (2 if options.get("bidirectional") else 1)
        self.head = nn.Linear(width, CLASSES)  # type: ignore[arg-type]
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states = self.memory(x.to(self.head.weight.dtype))[0]
        return self.head(states[:, -1] + states[:, 0])


class Gated(nn.Module):
    """The same of one layer and one direction: a linear layer for each gate, step by step."""

    def __init__(self, packed: Recurrent, kind: str) -> None:
        super().__init__()
        own, self.kind = packed.memory, kind
        self.head = packed.head
        self.into, self.back = nn.ModuleList(), nn.ModuleList()
        for layers, ending in ((self.into, "ih"), (self.back, "hh")):
            weight = getattr(own, f"weight_{ending}_l0").detach()
            bias = getattr(own, f"bias_{ending}_l0").detach()
            for part, shift in zip(weight.chunk(GATES[kind]), bias.chunk(GATES[kind]), strict=True):
                layer = nn.Linear(part.shape[1], HIDDEN, dtype=part.dtype)
                with torch.no_grad():
                    layer.weight.copy_(part)
                    layer.bias.copy_(shift)
                layers.append(layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.to(self.head.weight.dtype)
        h = c = x.new_zeros(len(x), HIDDEN)
        states = []
        for step in range(x.shape[1]):
            given = [layer(x[:, step]) for layer in self.into]
            kept = [layer(h) for layer in self.back]
            if self.kind == "lstm":
                i, f, g, o = (a + b for a, b in zip(given, kept, strict=True))
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
            elif self.kind == "gru":
                r, z = ((a + b).sigmoid() for a, b in zip(given[:2], kept[:2], strict=True))
                n = (given[2] + r * kept[2]).tanh()
                h = (1 - z) * n + z * h
            else:
                h = (given[0] + kept[0]).tanh()
            states.append(h)
        return self.head(states[-1] + states[0])


def gates_of(kind: str) -> dict[str, tuple[str, ...]]:
    """By weight of the recurrent network, the layers of the written-out one that it stands for."""
    places = range(GATES[kind])
    return {
        "memory.weight_ih_l0": tuple(f"into.{i}" for i in places),
        "memory.weight_hh_l0": tuple(f"back.{i}" for i in places),
        "head": ("head",),
    }
