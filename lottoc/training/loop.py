"""The training loop: exact masks, and every step a function of what came before it.

The batch, the learning rate and the random numbers of a step depend on the step alone, so a
training cut in two is the same training, bit for bit. Masked weights are +0.0 after every step,
and so is every optimizer slot of theirs: gradients are masked before clipping and before the
optimizer sees them, so neither momentum nor weight decay can move a pruned weight. Masks may
move on the way (`lottoc.training.updates`); a state then carries them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lottoc.diagnostics import input_error
from lottoc.frontends.data import Arrays
from lottoc.training.augment import augmented, check_images, parse
from lottoc.training.forward import LOSSES, backward, check_fit, forward
from lottoc.training.frozen import FrozenMasks, freeze_rest, train_alone
from lottoc.training.masked import HeldMasks
from lottoc.training.module import (
    layer_tensor,
    load_model,
    load_optimizer,
    named_tensors,
    state_of,
)
from lottoc.training.moving import Masked
from lottoc.training.settings import fixed_threads, mixed_seed
from lottoc.training.spec import TrainingSpec
from lottoc.training.state import DENSE, SCORE, State
from lottoc.training.updates import Update

CHECK_EVERY = 50
"""Steps between two looks at the loss."""
REPORT_SECONDS = 0.2
Masks = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Moves:
    """How masks move while a network trains, and how many weights each layer may keep."""

    update: Update
    budgets: Mapping[str, int]


def train(
    model: nn.Module,
    state: State,
    data: Arrays,
    spec: TrainingSpec,
    *,
    start: int,
    stop: int,
    masks: Masks | None = None,
    moves: Moves | None = None,
    frozen: bool = False,
    optimizer: Literal["fresh", "keep"] = "fresh",
    constant_lr_at: int | None = None,
    progress: Callable[[int], None] = lambda steps: None,
    checkpoint: Callable[[State], None] | None = None,
    checkpoint_every: float = 20.0,
) -> State:
    """Train from step `start` up to step `stop` and give the state reached.

    `start` places the run on the schedule and in the data, whatever the step of `state`: weight
    and learning-rate rewinding differ only in the state they start from. `masks` are True where a
    weight is kept, by layer name; with `moves` they change on the way, and the states given hold
    them as they are then; with `frozen` what they do not keep, and all that has no mask, stays as
    it came instead of being zero. `optimizer` keeps or drops the slots in `state`;
    `constant_lr_at` freezes the learning rate at that of one step. `progress` gets numbers of
    steps done, `checkpoint` a state every `checkpoint_every` seconds. `model` is overwritten.
    Raises `InputError`: model-data-shape, data-labels, torch-forward, torch-backward,
    torch-not-trainable, training-diverged, state-mismatch, augment-unsuited.
    """
    with fixed_threads(spec.threads):
        load_model(model, state)
        if spec.augment:
            check_images(data.x.shape, [parse(text) for text in spec.augment])
        check_fit(model, data, spec.batch)
        load_model(model, state)  # the check has moved running statistics
        run = _Run(model, data, spec, masks or {}, moves, state, constant_lr_at)
        if frozen:
            run.freeze()
        if optimizer == "keep":
            load_optimizer(model, run.optimizer, state)
        run.masks.begin(run.optimizer)
        reported, told = start, time.monotonic()
        saved = told
        for done in range(start + 1, stop + 1):
            loss = run.step(done - 1)
            if done % CHECK_EVERY == 0 or done == stop:
                run.check_finite(loss, done, weights=done == stop)
            now = time.monotonic()
            if now - told > REPORT_SECONDS or done == stop:
                progress(done - reported)
                reported, told = done, now
            if checkpoint is not None and now - saved > checkpoint_every and done < stop:
                run.check_finite(loss, done, weights=True)
                checkpoint(run.state(done))
                saved = time.monotonic()
        return run.state(stop)


class _Run:
    """What stays the same from step to step."""

    def __init__(
        self,
        model: nn.Module,
        data: Arrays,
        spec: TrainingSpec,
        masks: Masks,
        moves: Moves | None,
        state: State,
        constant_lr_at: int | None,
    ) -> None:
        self.model, self.spec, self.constant_lr_at = model.train(), spec, constant_lr_at
        self.x, self.y = torch.from_numpy(data.x), torch.from_numpy(data.y)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        if not self.parameters:
            raise input_error("torch-not-trainable", "the model has no parameter to train")
        self.masks = _held(model, masks, moves, state)
        if self.masks.alone:
            self.parameters = train_alone(model, self.masks.weights)
        self.optimizer = _optimizer(spec, self.parameters)
        self.epoch, self.order = -1, torch.empty(0)
        self.per_epoch = -(-len(self.x) // spec.batch)
        self.loss = LOSSES[spec.loss]
        self.changes = [parse(text) for text in spec.augment]

    def freeze(self) -> None:
        """Nothing moves but what the masks keep."""
        held = self.masks
        self.parameters = freeze_rest(self.model, held.weights)
        self.masks = FrozenMasks(zip(held.weights, held.masks, strict=True))
        self.optimizer = _optimizer(self.spec, self.parameters)

    def step(self, step: int) -> torch.Tensor:
        """One optimizer step; gives the loss of its batch."""
        batch = self._batch(step)
        torch.default_generator.manual_seed(mixed_seed(self.spec.seed, step))
        self.optimizer.zero_grad(set_to_none=True)
        chosen = torch.index_select(self.x, 0, batch)
        output = forward(self.model, augmented(chosen, self.changes, self.spec.seed, step))
        loss = self.loss(output, torch.index_select(self.y, 0, batch))
        backward(loss)
        self.masks.after_backward(step + 1)
        if self.spec.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.spec.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        self.masks.before_step()
        self.optimizer.step()
        self.masks.after_step(step + 1, self.optimizer)
        return loss.detach()

    def state(self, done: int) -> State:
        """The network, its optimizer and whatever else moves."""
        reached = state_of(self.model, self.optimizer, done)
        return State({**reached.arrays, **self.masks.arrays()}, done)

    def learning_rate(self, step: int) -> float:
        """What the optimizer is given at a step, counted from 0."""
        return self.spec.learning_rate(step if self.constant_lr_at is None else self.constant_lr_at)

    def _batch(self, step: int) -> torch.Tensor:
        """Row numbers of a step's batch; the last batch of an epoch may be short."""
        epoch, position = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            stream = np.random.Generator(np.random.PCG64([self.spec.seed, epoch]))
            self.epoch, self.order = epoch, torch.from_numpy(stream.permutation(len(self.x)))
        return self.order[position * self.spec.batch : (position + 1) * self.spec.batch]

    def check_finite(self, loss: torch.Tensor, done: int, *, weights: bool) -> None:
        """Stop as soon as there is nothing left to train."""
        found = f"the loss is {float(loss)}" if not bool(torch.isfinite(loss)) else ""
        if not found and weights and not all(bool(p.isfinite().all()) for p in self.parameters):
            found = "a weight is not a finite number"
        if found:
            raise input_error(
                "training-diverged",
                f"{found} after step {done} (learning rate {self.learning_rate(done - 1):g})",
                help=("lower the learning rate, add warmup, or set clip_norm",),
            )


def _held(model: nn.Module, masks: Masks, moves: Moves | None, state: State) -> HeldMasks:
    named, dense, scores = named_tensors(model), state.part(DENSE), state.part(SCORE)
    layers = []
    for name, mask in masks.items():
        weight = layer_tensor(named, name)
        assert isinstance(weight, nn.Parameter), f"{name} is no layer"
        budget = moves.budgets[name] if moves else 0
        layers.append(Masked(name, weight, mask, budget, dense.get(name), scores.get(name)))
    if moves is None:
        return HeldMasks((layer.weight, layer.mask) for layer in layers)
    return moves.update.held(layers)


EVALUATION_BATCH = 1000


def evaluate(
    model: nn.Module, state: State, data: Arrays, *, loss: str = "cross_entropy", threads: int = 1
) -> dict[str, float]:
    """Accuracy (a share) and mean loss on a data set, in evaluation mode.

    `model` is overwritten. Raises `InputError`: model-data-shape, data-labels, torch-forward,
    state-mismatch.
    """
    measure = LOSSES[loss]
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    right, total = 0, 0.0
    load_model(model, state)
    with fixed_threads(threads), torch.inference_mode():
        check_fit(model, data)
        for first in range(0, len(x), EVALUATION_BATCH):
            part = slice(first, first + EVALUATION_BATCH)
            output = forward(model, x[part].clone())
            right += int((output.argmax(dim=1) == y[part]).sum())
            total += float(measure(output, y[part])) * len(y[part])
    return {"accuracy": right / len(x), "loss": total / len(x)}


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
