"""Pruned weights are +0.0 after every step, and kept ones move as in a net with literal zeros."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reference_mlp import Reference
from torch import nn
from training_networks import ConvNet, Mlp, TiedTokens, images, model, random_masks, tokens

from lottoc.frontends.data import Arrays
from lottoc.training.loop import train
from lottoc.training.masked import HeldMasks
from lottoc.training.spec import TrainingSpec
from lottoc.training.state import State

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "lr": 0.1},
    "momentum": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
    "nesterov": {
        "optimizer": "sgd",
        "lr": 0.1,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 0.01,
    },
    "adam": {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.1},
    "adamw": {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1},
    "clipped": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "clip_norm": 0.05},
}
STEPS = 12


def each_step(make: Any, data: Arrays, masks: Any, **options: Any) -> list[State]:
    """The states after every step of one uninterrupted training."""
    spec = TrainingSpec(steps=STEPS, batch=16, **options)
    states: list[State] = []
    last = train(
        make.build(1),
        make.initial_state(1),
        data,
        spec,
        start=0,
        stop=STEPS,
        masks=masks,
        checkpoint=states.append,
        checkpoint_every=-1,
    )
    assert len(states) == STEPS - 1
    return [*states, last]


def bits(array: np.ndarray) -> np.ndarray:
    return array.view(f"i{array.itemsize}")


def assert_held(state: State, masks: dict[str, np.ndarray]) -> None:
    for name, mask in masks.items():
        pruned = ~mask
        assert not bits(state.layer(name))[pruned].any(), f"{name} after step {state.step}"
        slots = {
            key: array
            for key, array in state.part("optimizer/").items()
            if key.startswith(f"{name}.weight/") and array.shape == mask.shape
        }
        for key, slot in slots.items():
            assert not slot[pruned].any(), f"{key} after step {state.step}"
            assert slot[mask].any(), f"{key} should hold something"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_zero_after_every_step(name: str) -> None:
    masks = random_masks(Mlp(), "fc1", "fc2")
    states = each_step(model(Mlp), images(), masks, **OPTIMIZERS[name])
    for state in states:
        assert_held(state, masks)
    moved = states[0].layer("fc1") != states[-1].layer("fc1")
    assert moved[masks["fc1"]].any()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_zero_in_convolutions_and_tied_weights(optimizer: str) -> None:
    options = {"optimizer": optimizer, "lr": 0.05, "weight_decay": 0.01}
    masks = random_masks(ConvNet(), "conv", "fc")
    for state in each_step(model(ConvNet), images(features=16), masks, **options):
        assert_held(state, masks)
    masks = random_masks(TiedTokens(), "mid", "head")
    for state in each_step(model(TiedTokens), tokens(), masks, **options):
        assert_held(state, masks)


def test_decay_beyond_one_leaves_positive_zeros() -> None:
    """1 - lr * decay is negative here, and 0 times it is -0.0."""
    masks = random_masks(Mlp(), "fc1")
    options = {"optimizer": "adamw", "lr": 0.5, "weight_decay": 3.0}
    for state in each_step(model(Mlp), images(), masks, **options):
        assert not bits(state.layer("fc1"))[~masks["fc1"]].any()


def reference_run(states: int, data: Arrays, masks: dict[str, np.ndarray], **options: Any) -> Any:
    make = model(DoubleMlp)
    weights = {k: v.copy() for k, v in make.initial_state(1).part("model/").items()}
    options = dict(options)
    kind = options.pop("optimizer")
    reference = Reference(kind, weights, {f"{n}.weight": m for n, m in masks.items()}, **options)
    per_epoch = -(-len(data.x) // 16)
    for step in range(states):
        epoch, position = divmod(step, per_epoch)
        order = np.random.Generator(np.random.PCG64([0, epoch])).permutation(len(data.x))
        rows = order[position * 16 : (position + 1) * 16]
        reference.step(data.x[rows], data.y[rows])
        yield {name: value.copy() for name, value in reference.weights.items()}


class DoubleMlp(Mlp):
    def __init__(self) -> None:
        super().__init__()
        self.double()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_kept_weights_move_as_in_numpy(name: str) -> None:
    data = images(dtype=np.float64)
    masks = random_masks(Mlp(), "fc1", "fc2")
    states = each_step(model(DoubleMlp), data, masks, **OPTIMIZERS[name])
    expected = reference_run(STEPS, data, masks, **OPTIMIZERS[name])
    for state, weights in zip(states, expected, strict=True):
        for key, value in weights.items():
            np.testing.assert_allclose(state.part("model/")[key], value, rtol=1e-9, atol=1e-12)


def test_reference_tells_when_clipping_sees_pruned_gradients() -> None:
    """The comparison above must fail for a loop that clips first and masks later."""
    data, masks = images(dtype=np.float64), random_masks(Mlp(), "fc1", "fc2")
    options = OPTIMIZERS["clipped"]
    states = each_step(model(DoubleMlp), data, masks, **options)

    class ClipsFirst(Reference):
        masks_later: dict[str, np.ndarray]

    def wrong() -> np.ndarray:
        reference = Reference(
            "sgd",
            {k: v.copy() for k, v in model(DoubleMlp).initial_state(1).part("model/").items()},
            {},
            **{k: v for k, v in options.items() if k != "optimizer"},
        )
        order = np.random.Generator(np.random.PCG64([0, 0])).permutation(len(data.x))
        for n, mask in masks.items():
            reference.weights[f"{n}.weight"] = np.where(mask, reference.weights[f"{n}.weight"], 0)
        reference.step(data.x[order[:16]], data.y[order[:16]])
        return np.where(masks["fc1"], reference.weights["fc1.weight"], 0)

    assert not np.allclose(states[0].layer("fc1"), wrong(), rtol=1e-9, atol=1e-12)


def test_masks_clear_weights_and_slots_that_come_in() -> None:
    make, data = model(Mlp), images()
    spec = TrainingSpec(steps=10, batch=16, lr=0.1, momentum=0.9)
    dense = train(make.build(0), make.initial_state(0), data, spec, start=0, stop=5)
    weight = dense.layer("fc1").copy()
    masks = random_masks(Mlp(), "fc1")
    weight[~masks["fc1"]] = np.resize([np.nan, -0.0, np.inf, -1.0], (~masks["fc1"]).sum())
    arrays = {**dense.arrays, "model/fc1.weight": weight}
    before = {name: array.copy() for name, array in arrays.items()}
    for stop in (5, 6):  # even a training of no steps applies the mask
        after = train(
            make.build(0),
            State(arrays, 5),
            data,
            spec,
            start=5,
            stop=stop,
            masks=masks,
            optimizer="keep",
        )
        assert_held(after, masks)
    for name, array in arrays.items():
        assert np.array_equal(array, before[name], equal_nan=True), "the input state is not changed"


class Detour(Mlp):
    """Its second layer takes no part."""

    def __init__(self) -> None:
        super().__init__()
        self.aside = nn.Linear(6, 6)


def test_layer_without_a_gradient_stands_still() -> None:
    """Weight decay does not touch it in a dense training, so it must not in a masked one."""
    make, masks = model(Detour), random_masks(Detour(), "aside")
    states = each_step(make, images(), masks, **OPTIMIZERS["momentum"])
    start = make.initial_state(1).layer("aside")
    assert np.array_equal(states[-1].layer("aside"), np.where(masks["aside"], start, 0))


def test_all_ones_mask_changes_nothing() -> None:
    ones = {"fc1": np.ones((8, 6), bool), "fc2": np.ones((3, 8), bool)}
    for options in OPTIMIZERS.values():
        dense = each_step(model(Mlp), images(), None, **options)[-1]
        masked = each_step(model(Mlp), images(), ones, **options)[-1]
        for key, array in dense.arrays.items():
            assert np.array_equal(array, masked.arrays[key]), key


def test_fully_pruned_layer_trains_the_rest() -> None:
    masks = {"fc1": np.zeros((8, 6), bool)}
    states = each_step(model(Mlp), images(), masks, **OPTIMIZERS["adam"])
    assert not states[-1].layer("fc1").any()
    assert (states[0].part("model/")["fc2.bias"] != states[-1].part("model/")["fc2.bias"]).any()


@given(
    values=hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        (3, 5),
        elements=st.one_of(st.floats(width=16), st.sampled_from([np.nan, np.inf, -np.inf, -0.0])),
    ),
    mask=hnp.arrays(np.bool_, (3, 5)),
)
def test_projection_is_selection_to_the_bit(values: np.ndarray, mask: np.ndarray) -> None:
    parameter = nn.Parameter(torch.from_numpy(values.copy()))
    parameter.grad = torch.from_numpy(values.copy())
    held = HeldMasks([(parameter, mask)])
    held.project_weights()
    held.project_gradients()
    expected = np.where(mask, bits(values), 0)
    assert np.array_equal(bits(parameter.detach().numpy()), expected)
    assert np.array_equal(bits(parameter.grad.numpy()), expected)


def test_projection_follows_memory_layout() -> None:
    weight = nn.Parameter(torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last))
    mask = np.random.default_rng(0).random((4, 3, 2, 2)) < 0.5
    expected = np.where(mask, weight.detach().numpy(), 0)
    HeldMasks([(weight, mask)]).project_weights()
    assert np.array_equal(weight.detach().numpy(), expected)


def test_float32_follows_float64() -> None:
    """Single precision drifts, but only as rounding does."""
    data, masks = images(dtype=np.float64), random_masks(Mlp(), "fc1", "fc2")
    single = replace(data, x=data.x.astype(np.float32))
    options = OPTIMIZERS["nesterov"]
    initial = model(Mlp).initial_state(1)
    state = each_step(model(Mlp), single, masks, **options)[-1]
    reference = Reference(
        "sgd",
        {k: v.astype(np.float64) for k, v in initial.part("model/").items()},
        {f"{n}.weight": m for n, m in masks.items()},
        **{k: v for k, v in options.items() if k != "optimizer"},
    )
    for step in range(STEPS):
        epoch, position = divmod(step, 4)
        order = np.random.Generator(np.random.PCG64([0, epoch])).permutation(50)
        rows = order[position * 16 : (position + 1) * 16]
        reference.step(data.x[rows], data.y[rows])
    for key, value in reference.weights.items():
        np.testing.assert_allclose(state.part("model/")[key], value, rtol=1e-3, atol=1e-5)
