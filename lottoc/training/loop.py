"""The training loop: exact masks, and every step a function of what came before it.

The batch, the learning rate and the random numbers of a step depend on the step alone, so a
training cut in two is the same training, bit for bit. Masked weights are +0.0 after every step,
and so is every optimizer slot of theirs: gradients are masked before clipping and before the
optimizer sees them, so neither momentum nor weight decay can move a pruned weight.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from lottoc.diagnostics import InputError, input_error
from lottoc.frontends.data import Arrays
from lottoc.training.module import load_model, load_optimizer, state_of
from lottoc.training.spec import TrainingSpec
from lottoc.training.state import State

REPORT_EVERY = 50
EVALUATION_BATCH = 1000
Masks = Mapping[str, NDArray[np.bool_]]


def train(
    model: nn.Module,
    state: State,
    data: Arrays,
    spec: TrainingSpec,
    *,
    start: int,
    stop: int,
    masks: Masks | None = None,
    optimizer: Literal["fresh", "keep"] = "fresh",
    constant_lr_at: int | None = None,
    progress: Callable[[int], None] = lambda steps: None,
    checkpoint: Callable[[State], None] | None = None,
    checkpoint_every: float = 20.0,
) -> State:
    """Train from step `start` up to step `stop` and give the state reached.

    `model` is overwritten with `state`. `constant_lr_at` freezes the learning rate at that of one
    step. Raises `InputError`: model-data-shape, data-labels, torch-forward, training-diverged.
    """
    load_model(model, state)
    with _settings(spec.threads):
        _check_fit(model, data)
        run = _Run(model, data, spec, masks, constant_lr_at)
        if optimizer == "keep":
            load_optimizer(model, run.optimizer, state)
        run.hold_masks()
        saved, reported = time.monotonic(), start
        for step in range(start, stop):
            loss = run.step(step)
            if (step + 1) % REPORT_EVERY == 0 or step + 1 == stop:
                run.check_finite(loss, step)
                progress(step + 1 - reported)
                reported = step + 1
                if checkpoint is not None and time.monotonic() - saved > checkpoint_every:
                    checkpoint(state_of(model, run.optimizer, step + 1))
                    saved = time.monotonic()
        return state_of(model, run.optimizer, stop)


class _Run:
    """What stays the same from step to step."""

    def __init__(
        self,
        model: nn.Module,
        data: Arrays,
        spec: TrainingSpec,
        masks: Masks | None,
        constant_lr_at: int | None,
    ) -> None:
        self.model, self.spec, self.constant_lr_at = model.train(), spec, constant_lr_at
        self.x, self.y = torch.from_numpy(data.x), torch.from_numpy(data.y)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = _optimizer(spec, self.parameters)
        named = dict(model.named_parameters())
        self.masked = [named[f"{name}.weight"] for name in masks or {}]
        self.keep = [torch.from_numpy(mask) for mask in (masks or {}).values()]
        self.factors = [m.to(p.dtype) for m, p in zip(self.keep, self.masked, strict=True)]
        self.epoch, self.order = -1, torch.empty(0)
        self.per_epoch = -(-len(self.x) // spec.batch)
        self.loss = LOSSES[spec.loss]

    def hold_masks(self) -> None:
        """Pruned weights and their optimizer slots are +0.0 from the start."""
        for parameter, keep in zip(self.masked, self.keep, strict=True):
            parameter.data = torch.where(keep, parameter.data, 0.0)
            for slot in self.optimizer.state.get(parameter, {}).values():
                if torch.is_tensor(slot) and slot.shape == keep.shape:
                    slot.copy_(torch.where(keep, slot, 0.0))

    def step(self, step: int) -> torch.Tensor:
        """One optimizer step; gives the loss of its batch."""
        batch = self._batch(step)
        torch.default_generator.manual_seed((self.spec.seed << 32) + step)
        self.optimizer.zero_grad(set_to_none=True)
        try:
            loss = self.loss(self.model(self.x[batch]), self.y[batch])
        except (RuntimeError, ValueError, TypeError) as error:
            raise _forward_failed(error, self.x[batch]) from error
        loss.backward()  # type: ignore[no-untyped-call]
        if self.masked:
            torch._foreach_mul_([_grad(p) for p in self.masked], self.factors)
        if self.spec.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.spec.clip_norm)
        at = step if self.constant_lr_at is None else self.constant_lr_at
        for group in self.optimizer.param_groups:
            group["lr"] = self.spec.learning_rate(at)
        self.optimizer.step()
        return loss.detach()

    def _batch(self, step: int) -> torch.Tensor:
        epoch, position = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            stream = np.random.Generator(np.random.PCG64([self.spec.seed, epoch]))
            self.epoch, self.order = epoch, torch.from_numpy(stream.permutation(len(self.x)))
        return self.order[position * self.spec.batch : (position + 1) * self.spec.batch]

    def check_finite(self, loss: torch.Tensor, step: int) -> None:
        """Stop as soon as there is nothing left to train."""
        if not bool(torch.isfinite(loss)):
            rate = self.spec.learning_rate(step)
            raise input_error(
                "training-diverged",
                f"the loss is {float(loss)} at step {step + 1} (learning rate {rate:g})",
                help=("lower the learning rate, add warmup, or set clip_norm",),
            )


def evaluate(
    model: nn.Module, state: State, data: Arrays, *, loss: str = "cross_entropy", threads: int = 1
) -> dict[str, float]:
    """Accuracy and mean loss on a data set, in evaluation mode.

    Raises `InputError`: model-data-shape, data-labels, torch-forward.
    """
    load_model(model, state)
    measure = LOSSES[loss]
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    right, total = 0, 0.0
    with _settings(threads), torch.inference_mode():
        _check_fit(model, data)
        model.eval()
        for first in range(0, len(x), EVALUATION_BATCH):
            part = slice(first, first + EVALUATION_BATCH)
            output = model(x[part])
            right += int((output.argmax(dim=1) == y[part]).sum())
            total += float(measure(output, y[part])) * len(y[part])
    return {"accuracy": right / len(x), "loss": total / len(x)}


def _cross_entropy(output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(output, labels)


def _squared_error(output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean squared distance from the one-hot label."""
    target = functional.one_hot(labels, output.shape[1]).to(output.dtype)
    return functional.mse_loss(output, target)


LOSSES: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cross_entropy": _cross_entropy,
    "mse": _squared_error,
}


def _optimizer(spec: TrainingSpec, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    if spec.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=spec.lr,
            momentum=spec.momentum,
            nesterov=spec.nesterov,
            weight_decay=spec.weight_decay,
            foreach=True,
        )
    kind = torch.optim.AdamW if spec.optimizer == "adamw" else torch.optim.Adam
    return kind(
        parameters,
        lr=spec.lr,
        betas=spec.betas,
        eps=spec.eps,
        weight_decay=spec.weight_decay,
        foreach=True,
    )


def _grad(parameter: nn.Parameter) -> torch.Tensor:
    if parameter.grad is None:  # a layer the loss does not reach
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


@contextmanager
def _settings(threads: int) -> Iterator[None]:
    """A fixed number of threads and deterministic algorithms, whatever surrounds the call."""
    before = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(deterministic)


def _check_fit(model: nn.Module, data: Arrays) -> None:
    """One example through the network before any work: shapes and number of classes."""
    sample = torch.from_numpy(data.x[:2])
    model.eval()
    with torch.no_grad():
        try:
            output: Any = model(sample)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise _forward_failed(error, sample) from error
    if not torch.is_tensor(output) or output.ndim != 2 or len(output) != len(sample):
        found = f"shape {list(output.shape)}" if torch.is_tensor(output) else type(output).__name__
        raise input_error(
            "model-data-shape",
            f"the model gives {found} for {len(sample)} examples, not [examples, classes]",
            help=("a classifier returns one row of scores for each example",),
        )
    highest = int(data.y.max())
    if highest >= output.shape[1]:
        raise input_error(
            "data-labels",
            f"label {highest} does not fit a model with {output.shape[1]} outputs",
            help=(f"labels run from 0 to {output.shape[1] - 1}",),
        )


def _forward_failed(error: Exception, x: torch.Tensor) -> InputError:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return input_error(
        "model-data-shape",
        f"the model cannot take examples of shape {list(x.shape[1:])} ({x.dtype}): {first}",
        help=("compare the data's shape with what the model's forward expects",),
    )
