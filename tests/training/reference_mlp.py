"""A multilayer perceptron and its optimizers in plain numpy, after the papers, not after torch.

SGD: Sutskever et al. 2013 in the form with a velocity of gradients; Adam: Kingma & Ba 2015,
algorithm 1; AdamW: Loshchilov & Hutter 2019, algorithm 2.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


def gradients(
    weights: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray
) -> dict[str, np.ndarray]:
    """Gradient of the mean cross-entropy of x → relu(W1 x + b1) → W2 h + b2."""
    z = x @ weights["fc1.weight"].T + weights["fc1.bias"]
    h = np.maximum(z, 0)
    s = h @ weights["fc2.weight"].T + weights["fc2.bias"]
    p = np.exp(s - s.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    p /= len(y)
    back = (p @ weights["fc2.weight"]) * (z > 0)
    return {
        "fc1.weight": back.T @ x,
        "fc1.bias": back.sum(axis=0),
        "fc2.weight": p.T @ h,
        "fc2.bias": p.sum(axis=0),
    }


@dataclass
class Reference:
    """Trains a dense net whose pruned entries are literally zero: set to zero after every step."""

    kind: str
    weights: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    lr: float
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    clip_norm: float | None = None
    count: int = 0
    first: dict[str, np.ndarray] = field(default_factory=dict)
    second: dict[str, np.ndarray] = field(default_factory=dict)

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        self.count += 1
        self._zero()
        found = gradients(self.weights, x, y)
        for name, mask in self.masks.items():
            found[name] = np.where(mask, found[name], 0)
        if self.clip_norm is not None:
            norm = np.sqrt(sum((g**2).sum() for g in found.values()))
            found = {n: g * min(1, self.clip_norm / (norm + 1e-6)) for n, g in found.items()}
        for name, gradient in found.items():
            update = self._sgd if self.kind == "sgd" else self._adam
            self.weights[name] = update(name, self.weights[name], gradient)
        self._zero()

    def _zero(self) -> None:
        for name, mask in self.masks.items():
            self.weights[name] = np.where(mask, self.weights[name], 0)

    def _sgd(self, name: str, w: np.ndarray, g: np.ndarray) -> np.ndarray:
        g = g + self.weight_decay * w
        v = self.first[name] = self.momentum * self.first.get(name, 0) + g
        return w - self.lr * (g + self.momentum * v if self.nesterov else v)

    def _adam(self, name: str, w: np.ndarray, g: np.ndarray) -> np.ndarray:
        if self.kind == "adamw":
            w = w - self.lr * self.weight_decay * w
        else:
            g = g + self.weight_decay * w
        a, b = self.betas
        m = self.first[name] = a * self.first.get(name, 0) + (1 - a) * g
        v = self.second[name] = b * self.second.get(name, 0) + (1 - b) * g**2
        m, v = m / (1 - a**self.count), v / (1 - b**self.count)
        return w - self.lr * m / (np.sqrt(v) + self.eps)
