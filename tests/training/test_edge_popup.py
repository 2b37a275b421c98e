"""Edge-popup: scores move as a straight-through gradient says, weights not by a single bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from training_networks import ConvNet, Mlp, images, model

from lottoc.diagnostics import InputError
from lottoc.masks.mask import stream
from lottoc.training.loop import Moves, train
from lottoc.training.moving import Masked
from lottoc.training.settings import mixed_seed
from lottoc.training.spec import TrainingSpec
from lottoc.training.state import State, signed_constant
from lottoc.training.updates import make_update

STEPS = 10
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "momentum": {"lr": 0.5, "momentum": 0.9, "weight_decay": 0.01},
    "adamw": {"optimizer": "adamw", "lr": 0.05, "weight_decay": 0.1},
    "clipped": {"lr": 0.5, "momentum": 0.9, "clip_norm": 0.05},
}


def rule(scope: str = "layerwise", pattern: str = "unstructured", density: str = "2/5") -> Any:
    return make_update("edge_popup", {"seed": 3}, scope=scope, density=density, pattern=pattern)


def full(network: type[nn.Module], *layers: str) -> dict[str, np.ndarray]:
    module = network()
    return {name: np.ones(tuple(module.get_submodule(name).weight.shape), bool) for name in layers}


def each_step(
    network: type[nn.Module],
    layers: tuple[str, ...],
    update: Any,
    start: State | None = None,
    **options: Any,
) -> list[State]:
    """The state after every step of one uninterrupted training."""
    masks = full(network, *layers)
    features = 16 if network is ConvNet else 6
    states: list[State] = []
    last = train(
        model(network).build(1),
        start or model(network).initial_state(1),
        images(features=features),
        TrainingSpec(steps=STEPS, batch=16, **options),
        start=start.step if start else 0,
        stop=STEPS,
        masks=masks,
        moves=Moves(update, {n: m.size for n, m in masks.items()}),
        optimizer="keep" if start else "fresh",
        checkpoint=states.append,
        checkpoint_every=-1,
    )
    return [*states, last]


def test_a_step_by_hand() -> None:
    """s = (.1, -.5, .3, -.2), k = ½: m = (0, 1, 1, 0); w = (1, 2, 3, 4), G = 1: (1, -2, 3, -4)."""
    weight = nn.Parameter(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    scores = np.array([[0.1, -0.5, 0.3, -0.2]], np.float32)
    layer = Masked("fc", weight, np.ones((1, 4), bool), 4, None, scores)
    held = rule(density="1/2").held([layer])
    optimizer = torch.optim.SGD([weight], lr=0.1)
    held.begin(optimizer)
    assert weight.tolist() == [[0, 2, 3, 0]]
    weight.sum().backward()
    held.after_backward(1)
    assert weight.grad is not None
    assert weight.grad.tolist() == [[1, -2, 3, -4]]
    held.before_step()
    optimizer.step()
    held.after_step(1, optimizer)
    # scores (0, -.3, 0, .2): the second and the fourth are the greatest
    assert weight.tolist() == [[0, 2, 0, 4]]
    np.testing.assert_allclose(held.arrays()["score/fc"], [[0, -0.3, 0, 0.2]], atol=1e-7)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", [Mlp, ConvNet])
def test_no_weight_ever_changes(network: type[nn.Module], optimizer: str) -> None:
    layers = ("fc1", "fc2") if network is Mlp else ("conv", "fc")
    start = model(network).initial_state(1).part("model/")
    states = each_step(network, layers, rule(), **OPTIMIZERS[optimizer])
    seen = set()
    for state in states:
        masks = {name: mask.to_bool() for name, mask in state.masks().items()}
        seen.add(tuple(mask.tobytes() for mask in masks.values()))
        for name, value in state.part("model/").items():
            layer = name.removesuffix(".weight")
            if layer in masks:
                pruned = ~masks[layer]
                assert np.count_nonzero(pruned) == math.floor(0.6 * pruned.size)
                kept = np.where(masks[layer], start[name].view("i4"), 0)
                assert np.array_equal(value.view("i4"), kept), f"{name} after step {state.step}"
                assert np.array_equal(state.part("dense/")[layer], start[name])
            elif "running" not in name and "batches" not in name:
                assert np.array_equal(value, start[name]), f"{name} after step {state.step}"
    assert len(seen) > 3, "masks should move"
    if network is ConvNet:
        assert not np.array_equal(states[-1].arrays["model/bn.running_mean"], 0), "statistics move"


class _Choice(torch.autograd.Function):
    """Top-k of |s| in the forward pass, the identity in the backward pass."""

    @staticmethod
    def forward(ctx: Any, magnitudes: torch.Tensor, kept: int) -> torch.Tensor:
        best = magnitudes.flatten().argsort(descending=True, stable=True)[:kept]
        mask = torch.zeros(magnitudes.numel(), dtype=magnitudes.dtype)
        mask[best] = 1
        return mask.reshape(magnitudes.shape)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return gradient, None


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
def test_scores_follow_autograd_straight_through_the_choice(optimizer: str) -> None:
    """The same training written with torch.autograd, scores as parameters of their own."""
    options, data = OPTIMIZERS[optimizer], images()
    module = model(Mlp).build(1)
    start = model(Mlp).initial_state(1).part("model/")
    fixed = {name: torch.from_numpy(value) for name, value in start.items()}
    scores = {}
    for name in ("fc1.weight", "fc2.weight"):
        bound = 1 / math.sqrt(start[name].shape[1])
        drawn = stream(3, f"edge_popup/{name.removesuffix('.weight')}")
        values = drawn.uniform(-bound, bound, start[name].shape).astype(np.float32)
        scores[name] = nn.Parameter(torch.from_numpy(values))
    made = {"momentum": torch.optim.SGD, "adamw": torch.optim.AdamW}[optimizer]
    plain = {k: v for k, v in options.items() if k != "optimizer"}
    moved = made(scores.values(), **plain)
    states = each_step(Mlp, ("fc1", "fc2"), rule(), **options)
    for step, state in enumerate(states):
        torch.default_generator.manual_seed(mixed_seed(0, step))
        order = np.random.Generator(np.random.PCG64([0, step // 4])).permutation(50)
        rows = order[step % 4 * 16 : (step % 4 + 1) * 16]
        weights = {
            name: fixed[name] * _Choice.apply(s.abs(), s.numel() - math.floor(0.6 * s.numel()))
            for name, s in scores.items()
        }
        output = functional_call(module, {**fixed, **weights}, torch.from_numpy(data.x[rows]))
        loss = nn.functional.cross_entropy(output, torch.from_numpy(data.y[rows]))
        moved.zero_grad()
        loss.backward()
        moved.step()
        for name, s in scores.items():
            found = state.part("score/")[name.removesuffix(".weight")]
            np.testing.assert_allclose(found, s.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_training_taken_up_again_is_the_same(optimizer: str) -> None:
    states = each_step(Mlp, ("fc1", "fc2"), rule(), **OPTIMIZERS[optimizer])
    again = each_step(Mlp, ("fc1", "fc2"), rule(), states[4], **OPTIMIZERS[optimizer])
    assert states[-1].arrays.keys() == again[-1].arrays.keys()
    for name, array in states[-1].arrays.items():
        assert np.array_equal(array, again[-1].arrays[name]), name


@pytest.mark.parametrize(
    ("scope", "pattern"), [("global", "unstructured"), ("layerwise", "2:4"), ("uniform", "fanin")]
)
def test_scopes_and_patterns_hold(scope: str, pattern: str) -> None:
    from lottoc.masks.patterns import parse

    density = "1/2" if pattern == "2:4" else "2/5"
    layers = ("fc2",) if pattern == "2:4" else ("fc1", "fc2")
    for state in each_step(Mlp, layers, rule(scope, pattern, density), **OPTIMIZERS["momentum"]):
        masks = [mask.to_bool() for mask in state.masks().values()]
        assert all(parse(pattern).holds(mask) for mask in masks)
        if scope == "global":
            assert sum(map(np.count_nonzero, masks)) == 72 - math.floor(0.6 * 72)


def test_scores_that_are_no_numbers_are_told() -> None:
    with pytest.raises(InputError) as error:
        each_step(Mlp, ("fc1",), rule(), lr=1e38, weight_decay=10.0)
    assert error.value.diagnostics[0].code == "training-diverged"


def test_signed_constant_by_fan_in() -> None:
    state = model(ConvNet).initial_state(1)
    made = signed_constant(state, ["conv", "fc"], by_fan_in=True)
    for name, fan_in in (("conv", 9), ("fc", 16)):
        expected = np.sign(state.layer(name)) * np.float32(math.sqrt(2 / fan_in))
        assert np.array_equal(made.layer(name), expected)
    assert np.array_equal(made.arrays["model/fc.bias"], state.arrays["model/fc.bias"])
