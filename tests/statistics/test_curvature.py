"""The diagonal of the curvature against autograd's explicit Hessian and squared gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from statistics_networks import examples, network
from torch import nn
from torch.nn import functional

from lottoc.criteria.obd import Obd
from lottoc.signature import Layer
from lottoc.statistics.curvature import DiagonalCurvature
from lottoc.training.forward import LOSSES


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, bias=False),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(27, 4),
        nn.ReLU(),
        nn.Linear(4, 3),
    ).double()


class Double(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = small()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x.double())


LAYERS = ["net.0", "net.4", "net.6"]


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_gauss_newton_is_the_hessians_diagonal_of_a_network_of_relus(loss: str) -> None:
    data = examples()
    found = DiagonalCurvature(12).gather(network(Double(), data, loss=loss), LAYERS)
    module = Double().eval()
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    for name in LAYERS:
        weight = module.get_submodule(name).weight.detach()

        def value(flat: torch.Tensor, name: str = name, shape: torch.Size = weight.shape):
            replaced = {f"{name}.weight": flat.view(shape)}
            return LOSSES[loss](torch.func.functional_call(module, replaced, x), y)

        hessian = torch.autograd.functional.hessian(value, weight.flatten())
        np.testing.assert_allclose(
            found[name].ravel(), hessian.diagonal().numpy(), rtol=1e-8, atol=1e-14
        )
    assert found["net.4"].max() > 1e-6


def test_fisher_is_the_mean_of_squared_gradients() -> None:
    data = examples()
    found = DiagonalCurvature(12, curvature="fisher").gather(network(Double(), data), LAYERS)
    module = Double().eval()
    total = 0.0
    for x, y in zip(torch.from_numpy(data.x), torch.from_numpy(data.y), strict=True):
        module.zero_grad()
        functional.cross_entropy(module(x[None]), y[None]).backward()
        total = total + module.net[4].weight.grad.square().numpy() / 12
    np.testing.assert_allclose(found["net.4"], total, rtol=1e-10)


def test_masks_and_the_score() -> None:
    mask = np.random.default_rng(0).random((4, 27)) < 0.5
    found = DiagonalCurvature(12).gather(network(Double(), examples(), {"net.4": mask}), LAYERS)
    assert not found["net.4"][~mask].any()
    assert found["net.4"][mask].any()
    score = Obd().score(np.array([[3.0, -2.0]]), Layer("x", "linear", (1, 2)), np.array([[4, 1.0]]))
    assert score.tolist() == [[18, 2]]
