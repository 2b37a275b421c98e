"""Networks on the line between two: ends are exact, convex problems have no barrier."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn
from training_networks import ConvNet, Mlp, images, model

from lottoc.report.stability import Stability, barrier
from lottoc.training.interpolate import interpolate
from lottoc.training.loop import evaluate, train
from lottoc.training.spec import TrainingSpec
from lottoc.training.state import State

POINTS = [Fraction(i, 10) for i in range(11)]


class Linear(nn.Module):
    """Cross-entropy of it is convex."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x)


def trained(network: type[nn.Module], seed: int, features: int = 6) -> State:
    spec = TrainingSpec(steps=40, batch=10, lr=0.3, momentum=0.9, seed=seed)
    made, data = model(network), images(features=features)
    return train(made.build(0), made.initial_state(0), data, spec, start=0, stop=40)


def line(network: type[nn.Module], first: State, second: State, metric: str) -> list[float]:
    made, data = model(network), images()
    states = [interpolate(made.build(0), first, second, at, data) for at in POINTS]
    return [evaluate(made.build(0), state, data)[metric] for state in states]


def test_by_hand() -> None:
    """.10, .18, .30, .18, .12: .30 - .11."""
    assert barrier([0.10, 0.18, 0.30, 0.18, 0.12]) == pytest.approx(0.19)
    found = Stability("s", {0: [[0.1, 0.3, 0.1]], 9: [[0.1, 0.11, 0.1]]}, Fraction(2, 100))
    assert found.barriers == pytest.approx({0: 0.2, 9: 0.01})
    assert found.step == 9


def test_a_step_before_one_that_is_not_stable_is_not_stable() -> None:
    lines = {step: [[0.0, height, 0.0]] for step, height in ((0, 0.0), (5, 0.1), (9, 0.0))}
    assert Stability("s", lines, Fraction(1, 50)).step == 9
    assert Stability("s", {**lines, 9: [[0.0, 0.02, 0.0]]}, Fraction(1, 50)).step is None


def test_the_ends_are_the_networks_to_the_bit() -> None:
    first, second = trained(Mlp, 1), trained(Mlp, 2)
    for at, end in ((0, first), (1, second)):
        found = interpolate(model(Mlp).build(0), first, second, Fraction(at), images())
        for name, array in end.part("model/").items():
            assert np.array_equal(found.arrays[f"model/{name}"], array)
    middle = interpolate(model(Mlp).build(0), first, second, Fraction(1, 4), images())
    expected = 0.75 * first.layer("fc1").astype(float) + 0.25 * second.layer("fc1").astype(float)
    np.testing.assert_allclose(middle.layer("fc1"), expected, rtol=1e-7)


def test_a_convex_problem_has_no_barrier() -> None:
    """Trained in other orders, not to the end: two points, and all between is no worse."""
    first, second = trained(Linear, 1), trained(Linear, 2)
    assert not np.array_equal(first.layer("fc"), second.layer("fc"))
    losses = line(Linear, first, second, "loss")
    for at, loss in zip(POINTS, losses, strict=True):
        assert loss <= (1 - at) * losses[0] + at * losses[-1] + 1e-6
    assert barrier(losses) <= abs(losses[0] - losses[-1]) / 2 + 1e-6


def test_a_network_and_itself() -> None:
    state = trained(Mlp, 1)
    assert barrier(line(Mlp, state, state, "loss")) < 1e-6


def test_hidden_units_in_another_order_raise_a_barrier() -> None:
    """The same function, but not the same weights: it is these that are interpolated."""
    state = trained(Mlp, 1)
    order = np.roll(np.arange(8), 3)
    arrays = dict(state.arrays)
    arrays["model/fc1.weight"] = state.layer("fc1")[order]
    arrays["model/fc1.bias"] = state.arrays["model/fc1.bias"][order]
    arrays["model/fc2.weight"] = state.layer("fc2")[:, order]
    losses = line(Mlp, state, State(arrays, state.step), "loss")
    assert losses[0] == pytest.approx(losses[-1], abs=1e-6)
    assert barrier(losses) > 0.05


def test_running_statistics_are_those_of_the_training_examples() -> None:
    first, second = trained(ConvNet, 1, 16), trained(ConvNet, 2, 16)
    data, module = images(features=16), model(ConvNet).build(0)
    found = interpolate(module, first, second, Fraction(1, 2), data)
    x = torch.from_numpy(data.x).reshape(-1, 1, 4, 4)
    weight = torch.from_numpy(found.arrays["model/conv.weight"])
    out = nn.functional.conv2d(x, weight, torch.from_numpy(found.arrays["model/conv.bias"]))
    np.testing.assert_allclose(
        found.arrays["model/bn.running_mean"], out.mean((0, 2, 3)), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        found.arrays["model/bn.running_var"], out.var((0, 2, 3)), rtol=1e-4, atol=1e-6
    )
    assert not np.allclose(found.arrays["model/bn.running_mean"], 0)
    assert module.bn.momentum == 0.1
