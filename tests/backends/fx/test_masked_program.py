"""A `masked` program goes on training, and what is pruned stays zero."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fx_networks import Mlp, Tied, network, sample, two_of_four
from torch import nn

import lottoc
from lottoc.backends.fx.emit import emit

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
}


def train(module: nn.Module, x: torch.Tensor, make: Callable[..., torch.optim.Optimizer]) -> None:
    optimizer = make([p for p in module.parameters() if p.requires_grad])
    for _ in range(5):
        optimizer.zero_grad()
        module(x).pow(2).mean().backward()
        optimizer.step()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_masks_are_held(optimizer: str, tmp_path: Path) -> None:
    masked, x = network(Mlp), torch.from_numpy(sample(Mlp, 8))
    emit(masked, tmp_path / "m.pt2", sample(Mlp), format="masked")
    program = lottoc.load(tmp_path / "m.pt2")
    before = {name: value.clone() for name, value in program.named_parameters()}
    train(program, x, OPTIMIZERS[optimizer])
    for layer in masked.signature:
        if layer.name == "never":
            continue
        kept = torch.from_numpy(two_of_four(layer))
        weight = program.get_parameter(f"{layer.name}.weight")
        assert not weight[~kept].any()
        moved = weight != before[f"{layer.name}.weight"]
        assert moved[kept].float().mean() > 0.5


def test_it_trains_as_the_network_with_masked_gradients(tmp_path: Path) -> None:
    """The same steps by hand: gradients and weights multiplied by the mask after each."""
    masked, x = network(Mlp), torch.from_numpy(sample(Mlp, 8))
    emit(masked, tmp_path / "m.pt2", sample(Mlp), format="masked")
    program = lottoc.load(tmp_path / "m.pt2")
    train(program, x, OPTIMIZERS["sgd"])
    layers = [layer for layer in masked.signature if layer.name != "never"]
    for layer in layers:
        kept = torch.from_numpy(two_of_four(layer))
        weight = masked.module.get_parameter(f"{layer.name}.weight")
        weight.register_hook(lambda gradient, kept=kept: gradient * kept)
    train(masked.module, x, OPTIMIZERS["sgd"])
    for layer in layers:
        name = f"{layer.name}.weight"
        ours, wanted = program.get_parameter(name), masked.module.get_parameter(name)
        torch.testing.assert_close(ours, wanted)


def test_whatever_is_written_into_a_pruned_weight_is_not_read(tmp_path: Path) -> None:
    masked, x = network(Tied), torch.from_numpy(sample(Tied))
    emit(masked, tmp_path / "m.pt2", sample(Tied), format="masked")
    program = lottoc.load(tmp_path / "m.pt2")
    before = program(x)
    with torch.no_grad():
        for name, weight in program.named_parameters():
            if name.endswith(".weight"):
                mask = program.get_buffer(f"{name}_mask")
                weight[~mask] = float("nan")
    assert torch.equal(program(x), before)
