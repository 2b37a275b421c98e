"""H·g against the Hessian itself, against differences of gradients, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from statistics_networks import BY_HAND, LAYERS, LAYERS_BY_HAND, ByHand, Small, examples, network
from torch.nn import functional

from lottoc.criteria.grasp import Grasp
from lottoc.signature import Layer
from lottoc.statistics import network as network_module
from lottoc.statistics.gradient import Gradient
from lottoc.statistics.hessian_gradient import HessianGradient

WARM = HessianGradient(12, temperature=1.0)


def test_grasp_by_hand() -> None:
    """x = 1, w = (2, 3), t = 5: H = ((9, 7), (7, 4)), g = (3, 2), Hg = (41, 29)."""
    statistic = HessianGradient(1, temperature=1.0)
    product = statistic.gather(network(ByHand(), BY_HAND, loss="mse"), LAYERS_BY_HAND)
    assert [float(product[name][0, 0]) for name in LAYERS_BY_HAND] == pytest.approx([41, 29])
    weights = {"first": np.array([[2.0]]), "second": np.array([[3.0]])}
    scores = [
        float(Grasp().score(weights[n], Layer(n, "linear", (1, 1)), product[n])[0, 0])
        for n in LAYERS_BY_HAND
    ]
    assert scores == pytest.approx([82, 87])  # -82 and -87: the first is the first to go


def explicit(module: Small, names: list[str], masks: dict[str, np.ndarray], t: float) -> np.ndarray:
    """H·g from the full Hessian in the kept weights, as autograd has it."""
    data = examples()
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    module.eval().norm.train()
    shapes = [module.get_submodule(n).weight.shape for n in names]
    kept = torch.cat(
        [
            torch.from_numpy(masks.get(n, np.ones(s, bool))).flatten()
            for n, s in zip(names, shapes, strict=True)
        ]
    )
    start = torch.cat([module.get_submodule(n).weight.detach().flatten() for n in names]) * kept

    def loss(flat: torch.Tensor) -> torch.Tensor:
        parts = (flat * kept).split([s.numel() for s in shapes])
        replaced = {f"{n}.weight": p.view(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        return functional.cross_entropy(torch.func.functional_call(module, replaced, x) / t, y)

    hessian = torch.autograd.functional.hessian(loss, start)
    gradient = torch.autograd.functional.jacobian(loss, start)
    return (hessian @ gradient).numpy()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 200.0])
def test_against_the_explicit_hessian(masked: bool, temperature: float) -> None:
    names = ["group", "fc", "out"]
    draw = np.random.default_rng(0)
    masks = {"fc": draw.random((5, 16)) < 0.5, "group": draw.random((4, 2, 3, 3)) < 0.7}
    masks = masks if masked else {}
    statistic = HessianGradient(12, temperature=temperature)
    found = statistic.gather(network(Small(), examples(), masks), names)
    flat = np.concatenate([found[name].ravel() for name in names])
    expected = explicit(Small(), names, masks, temperature)
    np.testing.assert_allclose(flat, expected, rtol=1e-8, atol=1e-16)
    assert np.abs(expected).max() > 1e-10


def test_against_differences_of_gradients() -> None:
    """(∇L(θ + εg) - ∇L(θ - εg)) / 2ε."""
    gradient = Gradient(12).gather(network(Small(), examples()), LAYERS)

    def moved(step: float) -> dict[str, np.ndarray]:
        module = Small()
        for name in LAYERS:
            module.get_submodule(name).weight.data += step * torch.from_numpy(gradient[name])
        return dict(Gradient(12).gather(network(module, examples()), LAYERS))

    above, below = moved(1e-5), moved(-1e-5)
    found = WARM.gather(network(Small(), examples()), LAYERS)
    for name in LAYERS:
        expected = (above[name] - below[name]) / 2e-5
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-8)


def test_parts_are_of_one_mean_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """(Σ H_i)(Σ g_j), not Σ H_i g_i."""
    statistic = HessianGradient(12, norm="running", temperature=1.0)
    whole = statistic.gather(network(Small(), examples()), LAYERS)
    monkeypatch.setattr(network_module, "_MOST", 5)
    parts = statistic.gather(network(Small(), examples()), LAYERS)
    for name in LAYERS:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-10, atol=1e-14)


def test_attention_can_be_differentiated_twice() -> None:
    class Attention(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.q, self.k, self.v = (torch.nn.Linear(8, 8) for _ in "qkv")
            self.norm, self.out = torch.nn.LayerNorm(8), torch.nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = functional.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x))
            return self.out(self.norm(x).mean(1))

    found = WARM.gather(network(Attention(), examples(shape=(5, 8))), ["q", "k", "v", "out"])
    assert all(np.abs(values).max() > 0 for values in found.values())
