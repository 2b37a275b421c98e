"""Sparse fine-tuning: what a mask does not keep stays as it was, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from training_networks import ConvNet, Mlp, TiedTokens, images, model, random_masks, tokens

from lottoc.training.loop import train
from lottoc.training.spec import TrainingSpec
from lottoc.training.state import State

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "momentum": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
    "adamw": {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.5},
    "clipped": {"optimizer": "adam", "lr": 0.01, "clip_norm": 0.1},
}
CASES: dict[str, Any] = {
    "mlp": (Mlp, images(), ("fc1", "fc2")),
    "conv": (ConvNet, images(features=16), ("conv", "fc")),
    "tied": (TiedTokens, tokens(), ("mid", "head")),
}
STEPS = 12


def trained(
    case: str, start: State, first: int, optimizer: dict[str, Any], last: int = STEPS
) -> State:
    network, data, layers = CASES[case]
    return train(
        model(network).build(0),
        start,
        data,
        TrainingSpec(steps=STEPS, batch=16, **optimizer),
        start=first,
        stop=last,
        masks=random_masks(network(), *layers),
        frozen=True,
        optimizer="keep" if first else "fresh",
    )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("case", CASES)
def test_only_masked_weights_move(case: str, optimizer: str) -> None:
    network, _, layers = CASES[case]
    start = model(network).initial_state(1)
    moved = {
        k: v - v.dtype.type(0.01) if v.dtype.kind == "f" else v for k, v in start.arrays.items()
    }
    start = State(moved, 0)  # so that running statistics are not what they are at first
    last = trained(case, start, 0, OPTIMIZERS[optimizer])
    masks = random_masks(network(), *layers)
    for key, before in start.part("model/").items():
        after = last.part("model/")[key]
        mask = masks.get(key.removesuffix(".weight"))
        if key.endswith(".weight") and mask is not None:
            assert before[~mask].tobytes() == after[~mask].tobytes(), key
            assert (before[mask] != after[mask]).any(), key
        else:
            assert before.tobytes() == after.tobytes(), f"{key} has no mask"


@pytest.mark.parametrize("case", CASES)
def test_cut_in_two_it_is_the_same(case: str) -> None:
    start = model(CASES[case][0]).initial_state(1)
    whole = trained(case, start, 0, OPTIMIZERS["adamw"])
    half = trained(case, start, 0, OPTIMIZERS["adamw"], last=5)
    rest = trained(case, half, 5, OPTIMIZERS["adamw"])
    assert set(whole.arrays) == set(rest.arrays)
    for name, array in whole.arrays.items():
        assert array.tobytes() == rest.arrays[name].tobytes(), name


def test_masked_weights_move_as_autograd_says() -> None:
    """One step of plain gradient descent on the whole network, by hand."""
    network, data, layers = CASES["mlp"]
    start = model(Mlp).initial_state(1)
    last = trained("mlp", start, 0, {"lr": 0.1}, last=1)
    module = Mlp()
    module.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in start.part("model/").items()})
    rows = torch.from_numpy(np.random.Generator(np.random.PCG64([0, 0])).permutation(50)[:16])
    x, y = torch.from_numpy(data.x)[rows], torch.from_numpy(data.y)[rows]
    torch.nn.functional.cross_entropy(module(x), y).backward()
    for name, mask in random_masks(network(), *layers).items():
        weight = module.get_submodule(name).weight
        moved = (weight - 0.1 * weight.grad).detach().numpy()
        expected = np.where(mask, moved, weight.detach().numpy())
        np.testing.assert_allclose(last.layer(name), expected, rtol=1e-6)
