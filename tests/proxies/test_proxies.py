"""Proxies against hand-computed numbers and brute force."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1] / "statistics"))

from statistics_networks import BY_HAND, LAYERS, LAYERS_BY_HAND, ByHand, Small, examples, network

from lottoc.diagnostics import InputError
from lottoc.proxies import PROXIES, proxy_class
from lottoc.proxies.fisher import Fisher
from lottoc.proxies.naswot import Naswot, log_determinant
from lottoc.proxies.saliency import GradNorm, Grasp, Snip, Synflow
from lottoc.statistics.linear import positive_outputs


def test_by_hand() -> None:
    """g = (3, 2), w = (2, 3), Hg = (41, 29), a = (2, 6) with slopes (3, 1)."""

    def measured(proxy: object) -> float:
        found = network(ByHand(), BY_HAND, loss="mse")
        return proxy.measure(found, LAYERS_BY_HAND)  # type: ignore[attr-defined]

    assert measured(GradNorm()) == pytest.approx(3 + 2)
    assert measured(Snip()) == pytest.approx(6 + 6)
    assert measured(Grasp()) == pytest.approx(-82 - 87)
    assert measured(Fisher()) == pytest.approx(0.5 * (2 * 3) ** 2 + 0.5 * (6 * 1) ** 2)


def test_naswot_by_hand() -> None:
    """Codes 1101, 1001, 0110: K = ((4, 3, 1), (3, 4, 0), (1, 0, 4)), det = 24."""
    codes = np.array([[1, 1, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]], bool)
    assert log_determinant([codes]) == pytest.approx(math.log(24))
    assert log_determinant([codes[:, :2], codes[:, 2:]]) == pytest.approx(math.log(24))
    assert log_determinant([codes[[0, 1, 0]]]) == -math.inf


def test_naswot_sees_every_relu() -> None:
    data = examples()
    found = Naswot(samples=12).measure(network(Small(), data), LAYERS)
    module = Small().eval()
    module.norm.train()
    with torch.no_grad():
        first = module.norm(module.conv(torch.from_numpy(data.x).double()))
        second = module.group(first.relu())
    codes = [(v > 0).flatten(1).numpy() for v in (first, second)]
    assert found == pytest.approx(log_determinant(codes))
    assert math.isfinite(found)


def test_naswot_without_relus_is_refused() -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    with pytest.raises(InputError) as caught:
        Naswot().measure(network(module, examples(shape=(4,))), ["0", "2"])
    assert caught.value.diagnostics[0].code == "proxy-undefined"


def test_synflow_is_the_flow_times_the_layers() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(50, 9, bias=False), nn.ReLU(), nn.Linear(9, 3, bias=False)
    )
    total = positive_outputs(network(module, examples())).sum().item()
    found = Synflow().measure(network(module, examples()), ["1", "3"])
    assert found == pytest.approx(math.log(2 * total))


def test_fisher_by_brute_force() -> None:
    """Every output of every layer moved by a factor of its own, channel by channel."""
    data = examples()
    found = Fisher(samples=12).measure(network(Small(), data), LAYERS)
    module = Small().eval()
    module.norm.train()
    kept: dict[str, torch.Tensor] = {}
    for name in LAYERS:

        def keep(part: nn.Module, given: object, output: torch.Tensor, name: str = name) -> None:
            output.retain_grad()
            kept[name] = output

        module.get_submodule(name).register_forward_hook(keep)
    functional.cross_entropy(module(torch.from_numpy(data.x)), torch.from_numpy(data.y)).backward()
    total = 0.0
    for name, output in kept.items():
        weight = module.get_submodule(name).weight
        product = (
            (output * output.grad).flatten(2).sum(2) if output.ndim > 2 else output * output.grad
        )
        per_channel = 0.5 * product.square().mean(0)
        total += float((per_channel.detach() * (weight.numel() // len(weight))).sum())
    assert found == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("name", sorted(PROXIES))
def test_every_proxy_gives_the_same_number_twice(name: str) -> None:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
    proxy = proxy_class(name)()
    first = proxy.measure(network(module, examples()), ["0", "3"])
    assert math.isfinite(first)
    torch.manual_seed(2)
    again = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
    again.load_state_dict(module.state_dict())
    assert proxy_class(name)().measure(network(again, examples()), ["0", "3"]) != 0
    assert proxy.needs
