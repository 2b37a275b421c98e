"""A step depends on its number and on what came before: trainings can be cut anywhere."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from training_networks import ConvNet, Mlp, TiedTokens, images, model, random_masks, tokens

from lottoc.frontends.data import Arrays
from lottoc.training.loop import evaluate, train
from lottoc.training.settings import mixed_seed
from lottoc.training.spec import TrainingSpec
from lottoc.training.state import State


def assert_equal(one: State, other: State) -> None:
    assert one.step == other.step
    assert set(one.arrays) == set(other.arrays)
    for name, array in one.arrays.items():
        assert array.tobytes() == other.arrays[name].tobytes(), name


SGD: dict[str, Any] = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}
ADAM: dict[str, Any] = {"optimizer": "adam", "lr": 0.01}
CASES: dict[str, tuple[type[nn.Module], Arrays, dict[str, Any], tuple[str, ...]]] = {
    "momentum, cosine": (Mlp, images(), {**SGD, "schedule": "cosine", "warmup": 4}, ()),
    "nesterov, clipped": (Mlp, images(), {**SGD, "nesterov": True, "clip_norm": 1.0}, ("fc1",)),
    "adam, steps": (Mlp, images(), {**ADAM, "schedule": "step", "milestones": (6, 9)}, ("fc2",)),
    "batch norm, dropout": (ConvNet, images(features=16), SGD, ("conv", "fc")),
    "batch norm, adamw": (ConvNet, images(features=16), {**ADAM, "optimizer": "adamw"}, ()),
    "tied weights": (TiedTokens, tokens(), ADAM, ("head",)),
}
STEPS = 13


@pytest.mark.parametrize("name", CASES)
def test_cut_training_is_the_same_training(name: str, tmp_path: Path) -> None:
    network, data, options, layers = CASES[name]
    make, spec = model(network), TrainingSpec(steps=STEPS, batch=16, seed=5, **options)
    masks = random_masks(network(), *layers)
    initial = make.initial_state(3)
    whole = train(make.build(0), initial, data, spec, start=0, stop=STEPS, masks=masks)
    for cut in (0, 1, 4, 7, 12, 13):
        first = train(make.build(1), initial, data, spec, start=0, stop=cut, masks=masks)
        assert first.step == cut
        first.save(tmp_path / "cut.safetensors")
        rest = train(
            make.build(2),
            State.load(tmp_path / "cut.safetensors"),
            data,
            spec,
            start=cut,
            stop=STEPS,
            masks=masks,
            optimizer="keep",
        )
        assert_equal(whole, rest)


def test_a_fresh_optimizer_is_a_different_training() -> None:
    """What makes the test above able to fail."""
    make, data, spec = model(Mlp), images(), TrainingSpec(steps=8, batch=16, **SGD)
    whole = train(make.build(0), make.initial_state(3), data, spec, start=0, stop=8)
    half = train(make.build(0), make.initial_state(3), data, spec, start=0, stop=4)
    fresh = train(make.build(0), half, data, spec, start=4, stop=8, optimizer="fresh")
    assert not np.array_equal(whole.layer("fc1"), fresh.layer("fc1"))
    dropped = half.without_optimizer()
    assert_equal(fresh, train(make.build(0), dropped, data, spec, start=4, stop=8))
    again = train(make.build(0), dropped, data, spec, start=4, stop=8, optimizer="keep")
    assert_equal(fresh, again)


def test_checkpoints_resume_to_the_same_bytes() -> None:
    make, data = model(ConvNet), images(features=16)
    spec = TrainingSpec(steps=9, batch=16, **SGD)
    kept: list[State] = []
    whole = train(
        make.build(0),
        make.initial_state(0),
        data,
        spec,
        start=2,
        stop=9,
        checkpoint=kept.append,
        checkpoint_every=-1,
    )
    assert [state.step for state in kept] == [3, 4, 5, 6, 7, 8]
    for state in kept:
        rest = train(make.build(0), state, data, spec, start=state.step, stop=9, optimizer="keep")
        assert_equal(whole, rest)


class Witness(nn.Module):
    """Notes which examples it is shown and what its dropout does to ones."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(1, 2)
        self.drop = nn.Dropout(0.5)
        self.shown: list[list[int]] = []
        self.noise: list[bytes] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.shown.append([int(v) for v in x[:, 0]])
            self.noise.append(self.drop(torch.ones(64)).numpy().tobytes())
        return self.fc1(x * 1e-3)


def watch(start: int, stop: int, count: int = 23, batch: int = 5, seed: int = 0) -> Witness:
    data = Arrays(np.arange(count, dtype=np.float32)[:, None], np.zeros(count, np.int64))
    spec = TrainingSpec(steps=stop, batch=batch, lr=0.0, seed=seed)
    made: list[Witness] = []

    class Kept(Witness):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    module = Kept()
    train(module, model(Witness).initial_state(0), data, spec, start=start, stop=stop)
    return module


@settings(max_examples=25, deadline=None)
@given(count=st.integers(2, 40), batch=st.integers(2, 9), start=st.integers(0, 30))
def test_every_epoch_shows_every_example_once(count: int, batch: int, start: int) -> None:
    per_epoch = math.ceil(count / batch)
    shown = watch(0, 3 * per_epoch, count, batch).shown[-3 * per_epoch :]
    for epoch in range(3):
        rows = [r for part in shown[epoch * per_epoch : (epoch + 1) * per_epoch] for r in part]
        assert sorted(rows) == list(range(count))
    sizes = [len(part) for part in shown[:per_epoch]]
    assert sizes == [batch] * (count // batch) + [count % batch] * (count % batch > 0)
    assert (
        watch(start, start + 2, count, batch).shown[-2:]
        == (watch(0, start + 2, count, batch).shown[-2:])
    )


def test_epochs_and_seeds_differ() -> None:
    first = watch(0, 10)
    assert first.shown[:5] != first.shown[5:10]
    assert len(set(first.noise)) == 10
    for seed in (1, 1 << 32, 5 << 32, 1 << 80):
        other = watch(0, 10, seed=seed)
        assert other.shown != first.shown
        assert not set(other.noise) & set(first.noise), f"dropout ignores the seed {seed}"


def test_mixed_seeds_fit_the_generator() -> None:
    seeds = {mixed_seed(seed, step) for seed in range(50) for step in range(50)}
    assert len(seeds) == 2500
    assert all(0 <= seed < 1 << 32 for seed in seeds)


def test_ambient_threads_and_random_numbers_do_not_matter() -> None:
    make, data = model(ConvNet), images(400, 16)
    spec = TrainingSpec(steps=6, batch=100, **SGD)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(threads)
            state = make.build(0).state_dict()
            assert state
            expected = torch.rand(3)
            torch.manual_seed(threads)
            result = train(make.build(0), make.initial_state(0), data, spec, start=0, stop=6)
            results.append((result, evaluate(make.build(0), result, data)))
            assert torch.get_num_threads() == threads
            assert not torch.are_deterministic_algorithms_enabled()
            assert torch.equal(torch.rand(3), expected)
    finally:
        torch.set_num_threads(before)
    assert_equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


def test_settings_come_back_after_an_error() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        spec = TrainingSpec(steps=1, batch=4, threads=1)
        with pytest.raises(Exception, match="model-data-shape"):
            train(Mlp(), model(Mlp).initial_state(0), images(features=5), spec, start=0, stop=1)
        assert torch.get_num_threads() == 2
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.utils.deterministic.fill_uninitialized_memory
    finally:
        torch.set_num_threads(before)


def test_start_places_the_run_whatever_the_state_says() -> None:
    """Weight and learning-rate rewinding: the schedule and the data belong to `start`."""
    make, data = model(Mlp), images()
    spec = TrainingSpec(steps=20, batch=16, lr=0.1, schedule="step", milestones=(10,))
    initial = make.initial_state(0)
    early = train(make.build(0), State(initial.arrays, 15), data, spec, start=2, stop=4)
    assert_equal(early, train(make.build(0), State(initial.arrays, 0), data, spec, start=2, stop=4))
    assert early.step == 4
    late = train(make.build(0), initial, data, spec, start=12, stop=14)
    assert not np.array_equal(early.layer("fc1"), late.layer("fc1"))


def test_fine_tuning_keeps_one_learning_rate() -> None:
    make, data = model(Mlp), images()
    options: dict[str, Any] = {"batch": 16, "steps": 20, "lr": 0.1}
    falling = TrainingSpec(schedule="step", milestones=(3, 6), gamma=0.5, **options)
    flat = TrainingSpec(**{**options, "lr": falling.learning_rate(19)})
    initial = make.initial_state(0)
    tuned = train(make.build(0), initial, data, falling, start=0, stop=9, constant_lr_at=19)
    assert_equal(tuned, train(make.build(0), initial, data, flat, start=0, stop=9))
    assert not np.array_equal(
        tuned.layer("fc1"),
        train(make.build(0), initial, data, falling, start=0, stop=9).layer("fc1"),
    )


def test_progress_counts_every_step_once() -> None:
    steps: list[int] = []
    make, spec = model(Mlp), TrainingSpec(steps=130, batch=16)
    train(
        make.build(0),
        make.initial_state(0),
        images(),
        spec,
        start=7,
        stop=130,
        progress=steps.append,
    )
    assert sum(steps) == 123
    assert all(step > 0 for step in steps)
