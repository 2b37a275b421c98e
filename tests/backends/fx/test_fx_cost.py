"""`format = auto` runs a layer as compressed rows where measured costs say that it pays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fx_networks import ByHand, network, sample, scattered
from torch import nn

from lottoc.backends.fx import cost
from lottoc.backends.fx.choose import LayerReport
from lottoc.backends.fx.cost import Costs, Prediction, pays, predict, read_costs
from lottoc.backends.fx.emit import emit
from lottoc.backends.fx.network import Network, masked_network
from lottoc.backends.fx.verify import verify
from lottoc.frontends.torch_model import TorchModel

TARGET = """
target = "torch-cpu"
machine = "made up"

[[costs]]
threads = 1

[costs.dense]
inputs = [256, 1024]
outputs = [256, 1024]
places = [1, 16]
microseconds = [[[10.0, 100.0], [40.0, 400.0]], [[40.0, 400.0], [160.0, 1600.0]]]

[costs.csr]
inputs = [256, 1024]
outputs = [256, 1024]
kept = [10, 100]
places = [1, 16]
microseconds = [
  [[[2.0, 20.0], [20.0, 80.0]], [[8.0, 80.0], [80.0, 320.0]]],
  [[[8.0, 80.0], [80.0, 320.0]], [[32.0, 320.0], [320.0, 1280.0]]],
]
"""


@pytest.fixture
def costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Costs, ...]:
    """Compressed rows pay at 1 % in every batch, at 10 % in batches of 16 only."""
    path = tmp_path / "made-up.toml"
    path.write_text(TARGET)
    monkeypatch.setattr(cost, "MEASURED", path)
    return read_costs(path)


class Wide(nn.Module):
    """Two layers of 1024 × 1024, the second on sequences of four."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(1024, 1024), nn.Linear(1024, 1024)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.a(x))
        return self.b(torch.stack([hidden, hidden, x, x], 1)).mean(1)


def wide(density: float) -> Network:
    model = TorchModel(Path("net.py"), Wide)
    draw = np.random.default_rng(0)
    masks = {name: draw.random((1024, 1024)) < density for name in ("a", "b")}
    return masked_network(model, model.initial_state(0), masks.get)


def test_a_prediction_is_what_was_measured(costs: tuple[Costs, ...]) -> None:
    shape, kept = (1024, 256), 1024 * 256 // 100
    assert predict(costs, shape, kept, [1], [16]) == (
        Prediction(16, 1, pytest.approx(400), pytest.approx(80)),
    )
    assert predict(costs, shape, kept, [1, 1], [1]) == (
        Prediction(1, 1, pytest.approx(80), pytest.approx(16)),
    )
    assert predict(costs, shape, kept, [16], [1]) == (
        Prediction(1, 1, pytest.approx(400), pytest.approx(80)),
    )


@pytest.mark.parametrize(
    ("gains", "expected"),
    [((1.2, 1.2), True), ((3.0, 0.9), False), ((1.05, 1.05), False), ((), False)],
)
def test_when_it_pays(gains: tuple[float, ...], expected: bool) -> None:
    assert pays([Prediction(1, 1, gain, 1.0) for gain in gains]) == expected


X = np.linspace(-1, 1, 3 * 1024, dtype=np.float32).reshape(3, 1024)


def formats(reports: list[LayerReport]) -> list[str]:
    return [report.format for report in reports]


def test_few_weights_run_as_compressed_rows_and_many_do_not(
    costs: tuple[Costs, ...], tmp_path: Path
) -> None:
    masked = wide(0.01)
    reports = emit(masked, tmp_path / "few.pt2", X, batches=(1, 16))
    assert formats(reports) == ["csr", "csr"]
    first, second = (report.predicted for report in reports)
    assert [(each.batch, each.threads) for each in first] == [(1, 1), (16, 1)]
    assert all(b.csr > a.csr for a, b in zip(first, second, strict=True))
    assert verify(tmp_path / "few.pt2", masked, X).layers == 2
    assert formats(emit(wide(0.5), tmp_path / "m.pt2", X, batches=(1, 16))) == ["dense", "dense"]


def test_no_batch_size_may_lose(costs: tuple[Costs, ...], tmp_path: Path) -> None:
    """The first layer sees one row an example, the second four."""
    assert formats(emit(wide(0.1), tmp_path / "m.pt2", X, batches=(16,))) == ["csr", "csr"]
    assert formats(emit(wide(0.1), tmp_path / "m.pt2", X, batches=(1, 16))) == ["dense", "dense"]


def test_without_costs_the_smaller_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "MEASURED", tmp_path / "none.toml")
    reports = emit(wide(0.3), tmp_path / "m.pt2", X)
    assert formats(reports) == ["csr", "csr"]
    assert not any(report.predicted for report in reports)
    assert formats(emit(wide(0.6), tmp_path / "m.pt2", X)) == ["dense", "dense"]


def test_a_weight_that_is_used_by_hand_stays_dense(
    costs: tuple[Costs, ...], tmp_path: Path
) -> None:
    reports = emit(network(ByHand, scattered), tmp_path / "m.pt2", sample(ByHand))
    assert {report.format for report in reports} == {"dense"}
    assert not any(report.predicted for report in reports)


def test_the_shipped_target_chooses_between_them() -> None:
    """A large layer of few weights pays on the machine that was measured, a small full one not."""
    costs = read_costs(cost.MEASURED)
    assert costs
    few = predict(costs, (4096, 4096), 4096 * 4096 // 200, [1], [1, 16])
    assert pays(few)
    assert not pays(predict(costs, (256, 256), 256 * 256 // 4, [1], [1]))
