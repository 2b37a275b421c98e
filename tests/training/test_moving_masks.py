"""Masks that move: the same connections as a loop written down by hand, and nothing leaks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from training_networks import ConvNet, Mlp, images, model, random_masks

from lottoc.diagnostics import InputError
from lottoc.frontends.data import Arrays
from lottoc.masks.mask import Mask
from lottoc.training.loop import Moves, train
from lottoc.training.settings import mixed_seed
from lottoc.training.spec import TrainingSpec
from lottoc.training.state import State
from lottoc.training.updates import make_update

STEPS = 24


class Attention(nn.Module):
    """One head of self-attention over four tokens of six numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(6, 6) for _ in range(3))
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(len(x), 4, 6)
        scores = self.query(x) @ self.key(x).transpose(1, 2) / 6**0.5
        return self.head(self.norm(x + torch.softmax(scores, -1) @ self.value(x)).mean(1))


@dataclass(frozen=True)
class Case:
    network: type[nn.Module]
    data: Arrays
    layers: tuple[str, ...]


CASES = {
    "mlp": Case(Mlp, images(), ("fc1", "fc2")),
    "conv": Case(ConvNet, images(features=16), ("conv", "fc")),
    "attention": Case(Attention, images(features=24), ("query", "key", "value", "head")),
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "momentum": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
    "adamw": {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1},
    "clipped": {"optimizer": "adam", "lr": 0.01, "clip_norm": 0.05},
}
RULES: dict[str, dict[str, Any]] = {
    "rigl": {"every": 4, "until": 20, "drop": 0.5},
    "set": {"every": 4, "until": 20, "drop": 0.5, "seed": 3},
    "gmp": {
        "every": 4,
        "begin": 2,
        "until": 19,
        "scope": "global",
        "density": "3/10",
        "pattern": "unstructured",
    },
}


def first_masks(case: Case, update: str) -> dict[str, np.ndarray]:
    masks = random_masks(case.network(), *case.layers)
    return {n: np.ones_like(m) for n, m in masks.items()} if update == "gmp" else masks


def each_step(case: Case, update: str, start: State | None = None, **options: Any) -> list[State]:
    """The state after every step of one uninterrupted training."""
    make, masks = model(case.network), first_masks(case, update)
    if start is not None and start.step:
        masks = {name: m.to_bool() for name, m in start.masks().items()}
    states: list[State] = []
    last = train(
        make.build(1),
        start or make.initial_state(1),
        case.data,
        TrainingSpec(steps=STEPS, batch=16, **options),
        start=start.step if start else 0,
        stop=STEPS,
        masks=masks,
        moves=Moves(make_update(update, RULES[update]), {n: m.sum() for n, m in masks.items()}),
        optimizer="keep" if start else "fresh",
        checkpoint=states.append,
        checkpoint_every=-1,
    )
    return [*states, last]


def masks_of(state: State) -> dict[str, np.ndarray]:
    return {name: mask.to_bool() for name, mask in state.masks().items()}


@pytest.mark.parametrize("update", RULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", CASES)
def test_nothing_leaks(network: str, optimizer: str, update: str) -> None:
    """After every step, what is pruned is +0.0 in the weights and in the optimizer's memory."""
    case = CASES[network]
    moved = 0
    before = first_masks(case, update)
    for state in each_step(case, update, **OPTIMIZERS[optimizer]):
        masks = masks_of(state)
        slots = state.part("optimizer/")
        for name, mask in masks.items():
            weight = state.layer(name)
            assert not weight.view(np.int32)[~mask].any(), f"{name} after step {state.step}"
            grown = mask & ~before[name]
            assert not weight[grown].any(), "what grows starts at zero"
            for key, slot in slots.items():
                if key.startswith(f"{name}.weight/") and slot.shape == mask.shape:
                    assert not slot[~mask].any(), f"{key} after step {state.step}"
                    assert not slot[grown].any(), "and with nothing remembered"
            if update != "gmp":
                assert mask.sum() == before[name].sum(), "a layer keeps its count"
            moved += int((mask != before[name]).sum())
        before = masks
    assert moved, "the masks moved"


def test_connections_are_those_of_a_loop_by_hand() -> None:
    """Plain autograd, plain torch optimizer, the choice one weight at a time."""
    case, options = CASES["mlp"], OPTIMIZERS["momentum"]
    states = each_step(case, "rigl", **options)
    network = model(Mlp).build(1)
    masks = first_masks(case, "rigl")
    layers = {name: network.get_submodule(name).weight for name in masks}
    optimizer = torch.optim.SGD(network.parameters(), foreach=True, **options)
    x, y = torch.from_numpy(case.data.x), torch.from_numpy(case.data.y)

    def clear() -> None:
        with torch.no_grad():
            for name, weight in layers.items():
                pruned = torch.from_numpy(~masks[name])
                weight[pruned] = 0.0
                if weight.grad is not None:
                    weight.grad[pruned] = 0.0
                if "momentum_buffer" in optimizer.state[weight]:
                    optimizer.state[weight]["momentum_buffer"][pruned] = 0.0

    clear()
    changes = 0
    for step in range(STEPS):
        epoch, position = divmod(step, 4)
        order = np.random.Generator(np.random.PCG64([0, epoch])).permutation(50)
        rows = torch.from_numpy(order[position * 16 : (position + 1) * 16])
        torch.manual_seed(mixed_seed(0, step))
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
        whole = {name: np.abs(weight.grad.numpy()).ravel() for name, weight in layers.items()}
        clear()
        optimizer.step()
        clear()
        done = step + 1
        if done % 4 == 0 and done < 20:
            share = 0.25 * (1 + np.cos(np.pi * done / 20))
            for name, weight in layers.items():
                size = np.abs(weight.detach().numpy()).ravel()
                kept = sorted(np.flatnonzero(masks[name].ravel()), key=lambda i: (-size[i], i))
                drops = int(share * len(kept))
                stay = set(kept[: len(kept) - drops])
                for _ in range(drops):
                    rest = (i for i in range(size.size) if i not in stay)
                    stay.add(min(rest, key=lambda i: (-whole[name][i], i)))
                new = np.isin(np.arange(size.size), list(stay)).reshape(masks[name].shape)
                changes += int((new != masks[name]).sum())
                masks[name] = new
            clear()
        for name, mask in masks_of(states[step]).items():
            assert np.array_equal(mask, masks[name]), f"{name} after step {done}"
            assert np.array_equal(states[step].layer(name), layers[name].detach().numpy())
    assert changes > 10


@pytest.mark.parametrize("update", RULES)
@pytest.mark.parametrize("network", CASES)
def test_resumed_from_any_step(network: str, update: str, tmp_path: Path) -> None:
    case, options = CASES[network], OPTIMIZERS["adamw"]
    states = each_step(case, update, **options)
    for state in states[::5]:
        state.save(tmp_path / "state")
        resumed = each_step(case, update, State.load(tmp_path / "state"), **options)[-1]
        assert set(resumed.arrays) == set(states[-1].arrays)
        for name, array in states[-1].arrays.items():
            assert array.tobytes() == resumed.arrays[name].tobytes(), f"{name} from {state.step}"


def test_gradual_pruning_follows_its_cubic_and_never_regrows() -> None:
    case = CASES["mlp"]
    size = sum(mask.size for mask in first_masks(case, "gmp").values())
    before = first_masks(case, "gmp")
    for state in each_step(case, "gmp", **OPTIMIZERS["momentum"]):
        kept = sum(int(mask.sum()) for mask in masks_of(state).values())
        at = 19 if state.step >= 19 else state.step // 4 * 4
        wanted = 0.7 * (1 - (1 - max(0, at - 2) / 17) ** 3)
        assert kept == size - int(wanted * size + 1e-9), f"after step {state.step}"
        for name, mask in masks_of(state).items():
            assert not (mask & ~before[name]).any()
        before = masks_of(state)
    assert kept == size - int(0.7 * size)


def test_random_growth_depends_on_the_seed() -> None:
    one = each_step(CASES["mlp"], "set", **OPTIMIZERS["momentum"])[-1]
    again = each_step(CASES["mlp"], "set", **OPTIMIZERS["momentum"])[-1]
    assert one.masks() == again.masks()
    RULES["set"]["seed"] = 4
    try:
        other = each_step(CASES["mlp"], "set", **OPTIMIZERS["momentum"])[-1]
    finally:
        RULES["set"]["seed"] = 3
    assert one.masks() != other.masks()


def test_a_layer_without_gradient_stands_still() -> None:
    class Detour(Mlp):
        def __init__(self) -> None:
            super().__init__()
            self.aside = nn.Linear(6, 6)

    case = Case(Detour, images(), ("fc1", "aside"))
    last = each_step(case, "rigl", **OPTIMIZERS["momentum"])[-1]
    assert last.masks()["aside"] == Mask.from_bool(first_masks(case, "rigl")["aside"])
    assert last.masks()["fc1"] != Mask.from_bool(first_masks(case, "rigl")["fc1"])


def test_numbers_that_are_none_end_the_training() -> None:
    with pytest.raises(InputError, match="training-diverged"):
        each_step(CASES["mlp"], "rigl", lr=1e38)


@pytest.mark.parametrize("update", RULES)
def test_options_are_checked(update: str) -> None:
    for wrong in ({"every": 0}, {"drop": 1.5}, {"seed": -1}, {"begin": 30}):
        if set(wrong) <= set(RULES[update]):
            with pytest.raises(ValueError, match=next(iter(wrong)) + "|pruning from"):
                make_update(update, {**RULES[update], **wrong})
