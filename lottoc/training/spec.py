"""What a training is, as plain data: no torch here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class TrainingSpec:
    """A training of `steps` optimizer steps on batches of `batch` examples.

    The learning rate is a function of the step alone: linear warm-up, then `schedule`.
    `seed` orders the data; `threads` is part of the training because sums depend on it.
    """

    steps: int
    batch: int
    optimizer: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    schedule: str = "constant"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    warmup: int = 0
    loss: str = "cross_entropy"
    clip_norm: float | None = None
    seed: int = 0
    threads: int = 1
    augment: tuple[str, ...] = ()
    """How images are changed before each step, see `lottoc.training.augment`."""

    @staticmethod
    def from_options(options: Mapping[str, Any]) -> TrainingSpec:
        """A specification from plain data; lists become tuples, unknown keys are an error."""
        known = {field.name for field in fields(TrainingSpec)}
        assert set(options) <= known, f"unknown options {set(options) - known}"
        plain: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in options.items()
        }
        return TrainingSpec(**plain)

    def learning_rate(self, step: int) -> float:
        """The learning rate of one step, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        if self.schedule == "cosine":
            share = (step - self.warmup) / max(1, self.steps - self.warmup)
            return self.lr * 0.5 * (1 + math.cos(math.pi * share))
        if self.schedule == "step":
            return self.lr * self.gamma ** sum(step >= m for m in self.milestones)
        return self.lr
