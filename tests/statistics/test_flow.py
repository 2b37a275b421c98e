"""Synaptic flow: by hand, conserved in every kind of layer, and refused where it is not defined."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from statistics_networks import examples, network
from torch import nn
from torch.nn import functional

from lottoc.criteria.synflow import Synflow
from lottoc.diagnostics import InputError
from lottoc.frontends.data import Arrays
from lottoc.signature import Layer
from lottoc.statistics.flow import Flow
from lottoc.statistics.linear import positive_outputs


def scores(module: nn.Module, data: Arrays, names: list[str], masks=None) -> dict[str, np.ndarray]:
    weights = {n: module.get_submodule(n).weight.detach().double().numpy() for n in names}
    flows = Flow().gather(network(module, data, masks), names)
    return {n: Synflow().score(weights[n], Layer(n, "linear", (1, 1)), flows[n]) for n in names}


def outputs(module: nn.Module, data: Arrays) -> float:
    return positive_outputs(network(module, data)).sum().item()


def test_by_hand() -> None:
    """W1 = ((1, -2), (3, 4)), W2 = (5, -6), x = 1: R = 57."""
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0, -2], [3, 4]]))
        module[2].weight.copy_(torch.tensor([[5.0, -6]]))
    data = Arrays(np.full((1, 2), -7, np.float32), np.zeros(1, np.int64))
    found = scores(module, data, ["0", "2"])
    assert found["0"].tolist() == [[5, 10], [18, 24]]
    assert found["2"].tolist() == [[15, 42]]
    assert outputs(module, data) == 57
    masked = scores(module, data, ["0", "2"], {"0": np.array([[True, False], [True, True]])})
    assert masked["0"].tolist() == [[5, 0], [18, 24]]


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        *(
            layer
            for n, m in ((50, 30), (30, 20), (20, 3))
            for layer in (nn.Linear(n, m, bias=False), nn.ReLU())
        ),
    )


def conv() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1, stride=2, bias=False),
        nn.ReLU(),
        nn.Conv2d(8, 8, 2, groups=4, bias=False),
        nn.GELU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8, 3, bias=False),
    )


def normed() -> nn.Module:
    net = nn.Sequential(
        nn.Conv2d(2, 6, 3, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU6(),
        nn.AvgPool2d(3),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(6, 3, bias=False),
    )
    nn.init.normal_(net[1].weight)
    net[1].running_mean.fill_(3.0)
    net[1].running_var.fill_(2.0)
    return net


@pytest.mark.parametrize("make", [mlp, conv, normed])
def test_every_layer_has_all_of_the_flow(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    module, data = make(), examples()
    names = [n for n, m in module.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    found = scores(module, data, names)
    total = outputs(module, data)
    assert total > 0
    for name in names:
        assert found[name].sum() == pytest.approx(total, rel=1e-10)
        assert (found[name] >= 0).all()


def test_what_flows_into_a_unit_flows_out_of_it() -> None:
    torch.manual_seed(0)
    module = mlp()
    found = scores(module, examples(), ["1", "3", "5"])
    np.testing.assert_allclose(found["1"].sum(axis=1), found["3"].sum(axis=0), rtol=1e-10)
    np.testing.assert_allclose(found["3"].sum(axis=1), found["5"].sum(axis=0), rtol=1e-10)


def test_biases_take_their_part() -> None:
    """Σ S(W_l) + Σ_{j ≥ l} Σ S(b_j) = R."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(50, 7), nn.ReLU(), nn.Linear(7, 3))
    found = scores(module, examples(), ["1", "3"])
    last = module[3].bias.detach().abs().double().numpy()
    first = module[1].bias.detach().abs().double().numpy()
    through = np.abs(module[3].weight.detach().double().numpy()).sum(0) @ first
    total = outputs(module, examples())
    assert found["3"].sum() + last.sum() == pytest.approx(total, rel=1e-12)
    assert found["1"].sum() + through + last.sum() == pytest.approx(total, rel=1e-12)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = (nn.Linear(6, 6, bias=False) for _ in "abc")
        self.out = nn.Linear(6, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.a(x))
        return self.out(x + 0.5 * self.b(x).relu() + self.c(x))


def test_branches_share_the_flow() -> None:
    data = examples(shape=(6,))
    found = scores(Residual(), data, ["a", "b", "c", "out"])
    total = outputs(Residual(), data)
    assert found["a"].sum() == pytest.approx(total, rel=1e-12)
    assert found["out"].sum() == pytest.approx(total, rel=1e-12)
    assert found["b"].sum() + found["c"].sum() < total


def test_tokens_flow_from_their_embedding() -> None:
    module = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3, bias=False))
    data = Arrays(np.full((2, 5), 8, np.int64), np.array([0, 1]))
    found = scores(module, data, ["2"])
    row = module[0].weight.detach().double().abs()[1].repeat(5).numpy()
    expected = np.abs(module[2].weight.detach().double().numpy()) * row
    np.testing.assert_allclose(found["2"], expected, rtol=1e-12)


def test_the_data_is_not_looked_at() -> None:
    torch.manual_seed(0)
    module = mlp()
    before = scores(module, examples(), ["1"])
    other = Arrays(-5 * examples().x, examples().y)
    np.testing.assert_array_equal(before["1"], scores(module, other, ["1"])["1"])


class Does(nn.Module):
    """Something between two linear layers."""

    def __init__(self, what: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.what, self.first, self.last = what, nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.what(self.first(x)))


REFUSED = {
    "softmax": lambda x: x.softmax(1),
    "sigmoid": lambda x: x * x.sigmoid(),
    "tanh": nn.Tanh(),
    "layer_norm": nn.LayerNorm(6),
    "scaled_dot_product_attention": lambda x: functional.scaled_dot_product_attention(x, x, x),
    "mul": lambda x: x * x,
    "matmul": lambda x: (x[:, :, None] @ x[:, None, :]).sum(2),
    "sub": lambda x: x - 1,
    "exp": torch.exp,
    "div": lambda x: x / x.sum(),
    "neg": lambda x: (-x).relu(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_linear_is_refused_by_name(name: str) -> None:
    with pytest.raises(InputError) as caught:
        Flow().gather(network(Does(REFUSED[name]), examples(shape=(6,))), ["first", "last"])
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "flow-not-linear"
    assert name in diagnostic.message


def test_attention_is_refused() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.out = nn.MultiheadAttention(6, 2), nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.attention(x, x, x)[0])

    with pytest.raises(InputError, match="multi_head_attention_forward"):
        Flow().gather(network(Net(), examples(shape=(6,))), ["out"])
