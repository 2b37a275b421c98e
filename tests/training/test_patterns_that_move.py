"""A pattern holds at every step while its masks move; straight through N:M by hand."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from training_networks import images, model

from lottoc.masks.cells import cells_of, together
from lottoc.masks.patterns import PATTERNS, parse
from lottoc.training.loop import Moves, train
from lottoc.training.masked import HeldMasks
from lottoc.training.moving import Masked
from lottoc.training.settings import mixed_seed
from lottoc.training.spec import TrainingSpec
from lottoc.training.state import State
from lottoc.training.updates import make_update
from lottoc.training.updates.sr_ste import StraightThrough


class Wide(nn.Module):
    """A convolution and two linear layers, wide enough for groups."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 2)
        self.fc1 = nn.Linear(8, 16)
        self.fc2 = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.conv(x.reshape(len(x), 4, 2, 2))).flatten(1)
        return self.fc2(torch.relu(self.fc1(x)))


DATA = images(features=16, classes=4)
LAYERS = ("conv", "fc1", "fc2")
KINDS = [
    kind
    for kind in ("fanin", "2:4", "1:4", "groups(4)")
    if kind.split("(")[0] in PATTERNS or ":" in kind
]
STEPS = 30


def first_masks(kind: str) -> dict[str, np.ndarray]:
    stream, network, pattern = np.random.default_rng(5), Wide(), parse(kind)
    masks = {}
    for name in LAYERS:
        shape = tuple(network.get_submodule(name).weight.shape)
        density = pattern.density or Fraction(2, 5)
        (kept,) = pattern.counts("layerwise", [shape], density)
        masks[name] = pattern.keep(stream.random(shape), kept)
    return masks


def each_step(kind: str, update: str = "srigl", start: State | None = None) -> list[State]:
    options = {
        "every": 3,
        "until": 27,
        "drop": 0.5,
        "ablate": 0.9 * (kind == "fanin"),
        "whole": ["fc2"],
    }
    masks = (
        first_masks(kind)
        if update == "srigl"
        else {n: np.ones_like(m) for n, m in first_masks(kind).items()}
    )
    if start is not None:
        masks = {name: mask.to_bool() for name, mask in start.masks().items()}
    made = make_update(update, options if update == "srigl" else {"decay": 0.05}, pattern=kind)
    states: list[State] = []
    last = train(
        model(Wide).build(1),
        start or model(Wide).initial_state(1),
        DATA,
        TrainingSpec(steps=STEPS, batch=16, lr=0.1, momentum=0.9),
        start=start.step if start else 0,
        stop=STEPS,
        masks=masks,
        moves=Moves(made, {n: int(m.sum()) for n, m in first_masks(kind).items()}),
        optimizer="keep" if start else "fresh",
        checkpoint=states.append,
        checkpoint_every=-1,
    )
    return [*states, last]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "fanin"])
def test_the_pattern_holds_at_every_step(kind: str) -> None:
    before, moves = first_masks(kind), 0
    for state in each_step(kind):
        for name, mask in state.masks().items():
            now = mask.to_bool()
            assert parse(kind).holds(now), f"{name} after step {state.step}"
            assert now.sum() == before[name].sum()
            assert not state.layer(name)[~now].any()
            grown = now & ~before[name]
            assert not state.layer(name)[grown].any(), "what grows starts at zero"
            moves += int(grown.sum())
            before[name] = now
    assert moves > 10


@pytest.mark.skipif("fanin" not in PATTERNS, reason="constant fan-in is not built")
def test_fan_in_is_constant_and_outputs_die() -> None:
    before, dead = first_masks("fanin"), set()
    budgets = {name: int(mask.sum()) for name, mask in before.items()}
    for state in each_step("fanin"):
        for name, mask in state.masks().items():
            counts = mask.to_bool().reshape(mask.shape[0], -1).sum(axis=1)
            alive = int((counts > 0).sum())
            assert set(counts.tolist()) <= {0, int(counts.max())}
            assert counts.max() == min(mask.size // mask.shape[0], budgets[name] // alive)
            assert mask.kept <= budgets[name], "never more than was asked for"
            if alive < mask.shape[0]:
                dead.add(name)
    assert dead
    assert "fc2" not in dead, "outputs of the last layer live"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("update", ["srigl", "sr_ste"])
def test_resumed_from_any_step(kind: str, update: str, tmp_path: Path) -> None:
    if update == "sr_ste" and ":" not in kind:
        return
    states = each_step(kind, update)
    for state in states[1:-1:7]:
        state.save(tmp_path / "state")
        resumed = each_step(kind, update, State.load(tmp_path / "state"))[-1]
        for name, array in states[-1].arrays.items():
            assert array.tobytes() == resumed.arrays[name].tobytes(), f"{name} from {state.step}"


@pytest.mark.parametrize("kind", KINDS)
def test_cells_unfold_to_what_was_folded(kind: str) -> None:
    for mask in first_masks(kind).values():
        cells = cells_of(parse(kind), mask)
        folded = cells.fold(mask.astype(float)) > 0
        assert np.array_equal(cells.unfold(folded), mask)
        assert len(set(folded.sum(axis=1).tolist())) == 1, "as many in every row"


def test_groups_that_keep_the_same_are_told_apart() -> None:
    mask = np.zeros((8, 3), bool)
    mask[:, 1] = True
    assert together(mask, 2).tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    mask[:3, 0] = True
    with pytest.raises(ValueError, match="same columns by 2"):
        together(mask, 2)


def test_straight_through_by_hand() -> None:
    """w = (.4, −.1, .3, .2), 2:4, g = 1: m = (1, 0, 1, 0); (1, 1 − 2e-5, 1, 1 + 4e-5)."""
    weight = nn.Parameter(torch.tensor([[0.4, -0.1, 0.3, 0.2]], dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    held = StraightThrough([Masked("w", weight, np.ones((1, 4), bool), 2)], parse("2:4"), 2e-4)
    held.begin(optimizer)
    assert weight.tolist() == [[0.4, 0, 0.3, 0]]
    weight.grad = torch.ones_like(weight)
    held.after_backward(1)
    held.before_step()
    np.testing.assert_allclose(weight.grad.numpy(), [[1, 1 - 2e-5, 1, 1 + 4e-5]], rtol=1e-12)
    optimizer.step()
    held.after_step(1, optimizer)
    dense = [[0.4 - 1, -0.1 - 1 + 2e-5, 0.3 - 1, 0.2 - 1 - 4e-5]]
    np.testing.assert_allclose(held.arrays()["dense/w"], dense, rtol=1e-12)
    np.testing.assert_allclose(weight.detach().numpy(), [[0, dense[0][1], 0, dense[0][3]]])


def test_straight_through_is_the_loop_by_hand() -> None:
    """A plain loop that keeps the dense weights aside itself."""
    states = each_step("2:4", "sr_ste")
    network = model(Wide).build(1)
    layers = {name: network.get_submodule(name).weight for name in LAYERS}
    dense = {name: w.detach().clone() for name, w in layers.items()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, foreach=True)
    x, y = torch.from_numpy(DATA.x), torch.from_numpy(DATA.y)

    def best(w: torch.Tensor) -> torch.Tensor:
        out, inputs, *kernel = w.shape
        grouped = w.abs().reshape(out, inputs // 4, 4, *kernel)
        order = grouped.argsort(dim=2, descending=True, stable=True)
        return torch.zeros_like(grouped).scatter(2, order[:, :, :2], 1.0).reshape(w.shape) > 0

    for step in range(STEPS):
        masks = {name: best(w) for name, w in dense.items()}
        epoch, position = divmod(step, 4)
        order = np.random.Generator(np.random.PCG64([0, epoch])).permutation(50)
        rows = torch.from_numpy(order[position * 16 : (position + 1) * 16])
        torch.manual_seed(mixed_seed(0, step))
        with torch.no_grad():
            for name, weight in layers.items():
                weight.copy_(torch.where(masks[name], dense[name], 0.0))
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
        with torch.no_grad():
            for name, weight in layers.items():
                weight.copy_(dense[name])
                weight.grad += 0.05 * torch.where(masks[name], 0.0, dense[name])
        optimizer.step()
        for name, weight in layers.items():
            dense[name] = weight.detach().clone()
            now = best(dense[name]).numpy()
            assert np.array_equal(states[step].masks()[name].to_bool(), now)
            expected = np.where(now, dense[name].numpy(), 0)
            np.testing.assert_allclose(states[step].layer(name), expected, rtol=1e-6, atol=1e-8)


def test_masks_that_stay_take_gradients_as_they_come() -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    held = HeldMasks([(weight, np.array([[True, False], [False, True]]))])
    gradient = torch.full((2, 2), float("nan"))
    assert held.incoming(0, gradient, 1).isnan().tolist() == [[True, False], [False, True]]
    assert gradient.isnan().all(), "the gradient itself is not touched"
