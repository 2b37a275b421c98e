"""The gradient of the scoring loss: by hand, by differences, under masks, over parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from statistics_networks import BY_HAND, LAYERS, LAYERS_BY_HAND, ByHand, Small, examples, network
from torch import nn
from torch.nn import functional

from lottoc.criteria.snip import Snip
from lottoc.frontends.data import Arrays
from lottoc.signature import Layer
from lottoc.statistics import network as network_module
from lottoc.statistics.gradient import Gradient
from lottoc.statistics.network import balanced


def test_snip_by_hand() -> None:
    """x = 1, w = (2, 3), t = 5: g = (3, 2), |w · g| = (6, 6)."""
    gradient = Gradient(1).gather(network(ByHand(), BY_HAND, loss="mse"), LAYERS_BY_HAND)
    assert [float(gradient[name][0, 0]) for name in LAYERS_BY_HAND] == pytest.approx([3, 2])
    weights = {"first": np.array([[2.0]]), "second": np.array([[3.0]])}
    scores = [
        Snip().score(weights[n], Layer(n, "linear", (1, 1)), gradient[n]) for n in LAYERS_BY_HAND
    ]
    assert [float(score[0, 0]) for score in scores] == pytest.approx([6, 6])


@pytest.mark.parametrize("norm", ["batch", "running"])
def test_against_central_differences(norm: str) -> None:
    module, data = Small(), examples()
    found = Gradient(12, norm=norm).gather(network(module, data), LAYERS)  # type: ignore[arg-type]
    reference = Small().eval()
    if norm == "batch":
        reference.norm.train()
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)

    def loss() -> float:
        with torch.no_grad():
            return float(functional.cross_entropy(reference(x), y))

    for name in LAYERS:
        weight = getattr(reference, name).weight.data
        for index in [(0,) * weight.ndim, tuple(size - 1 for size in weight.shape)]:
            was = weight[index].item()
            weight[index] = was + 1e-5
            above = loss()
            weight[index] = was - 1e-5
            slope = (above - loss()) / 2e-5
            weight[index] = was
            assert found[name][index] == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_signed_saliency_is_conserved_from_layer_to_layer() -> None:
    """Σ w · ∂L/∂w is the same for every layer of a network of ReLUs without biases."""
    torch.manual_seed(3)
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(36, 6, bias=False),
        nn.ReLU(),
        nn.Linear(6, 3, bias=False),
    )
    names = ["0", "3", "5"]
    gradient = Gradient(12).gather(network(module, examples()), names)
    sums = [
        float((gradient[n] * module.get_submodule(n).weight.detach().numpy()).sum()) for n in names
    ]
    assert sums[0] != pytest.approx(0, abs=1e-4)
    assert sums == pytest.approx([sums[0]] * 3, rel=1e-4)


def test_parts_add_up_to_the_mean_over_all_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Gradient(12, norm="running").gather(network(Small(), examples()), LAYERS)
    monkeypatch.setattr(network_module, "_MOST", 5)
    parts = Gradient(12, norm="running").gather(network(Small(), examples()), LAYERS)
    for name in LAYERS:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-12, atol=1e-15)


def test_it_is_that_of_the_network_under_masks() -> None:
    mask = np.random.default_rng(1).random((5, 16)) < 0.5
    found = Gradient(12).gather(network(Small(), examples(), {"fc": mask}), LAYERS)
    pruned = Small()
    pruned.fc.weight.data[torch.from_numpy(~mask)] = 0
    expected = Gradient(12).gather(network(pruned, examples()), LAYERS)
    np.testing.assert_array_equal(found["fc"], np.where(mask, expected["fc"], 0))
    np.testing.assert_array_equal(found["conv"], expected["conv"])
    dense = Gradient(12).gather(network(Small(), examples()), LAYERS)
    assert np.abs(found["conv"] - dense["conv"]).max() > 1e-6


def test_dropout_drops_nothing_and_running_statistics_stay() -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.9), nn.Linear(8, 3))
    data = examples(shape=(4,))
    first = Gradient().gather(network(module, data), ["0", "3"])
    torch.manual_seed(5)
    second = Gradient().gather(network(module, data), ["0", "3"])
    np.testing.assert_array_equal(first["3"], second["3"])
    assert np.count_nonzero(first["3"]) == first["3"].size


class Apart(nn.Module):
    """A layer that the output does not depend on, and one that is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(4, 3), nn.Linear(4, 3)
        self.used.weight.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.used(x)


def test_no_gradient_is_zero_and_frozen_weights_have_one() -> None:
    found = Gradient().gather(network(Apart(), examples(shape=(4,))), ["used", "unused"])
    assert not found["unused"].any()
    assert found["used"].all()


def test_half_precision_weights_give_float32() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3, dtype=torch.bfloat16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.bfloat16()).float()

    found = Gradient().gather(network(Half(), examples(shape=(4,))), ["fc"])
    assert found["fc"].dtype == np.float32
    assert found["fc"].all()


def test_samples_are_balanced_over_classes() -> None:
    y = np.array([0] * 90 + [1] * 8 + [2] * 2)
    rows = balanced(y, 15, seed=0)
    assert np.bincount(y[rows]).tolist() == [7, 6, 2]
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert balanced(y, 15, seed=1).tolist() != rows.tolist()
    assert balanced(y, 100, seed=0).tolist() == list(range(100))
    assert set(balanced(y, 3, seed=4).tolist()) & set(range(90, 98))


def test_attention_embedding_and_a_tied_weight() -> None:
    """The gradient of a tied weight is that of both its uses."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embedding = nn.Embedding(7, 8)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = nn.Linear(8, 7, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            x = self.embedding(tokens)
            x, _ = self.attention(x, x, x, need_weights=False)
            return self.head(x.mean(1))

    draw = np.random.default_rng(0)
    data = Arrays(draw.integers(0, 7, (6, 5)), np.arange(6, dtype=np.int64))
    names = ["attention.out_proj", "head"]
    found = Gradient().gather(network(Tied(), data), names)
    reference = Tied().eval()
    loss = functional.cross_entropy(reference(torch.from_numpy(data.x)), torch.from_numpy(data.y))
    loss.backward()
    for name in names:
        expected = reference.get_submodule(name).weight.grad.numpy()
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-7)
