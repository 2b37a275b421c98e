"""`format = auto` runs a layer as compressed rows where measured costs say that it pays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fx_networks import ByHand, network, sample, scattered
from torch import nn

from lottoc.backends.fx.cost import Prediction, pays, predict, read_costs
from lottoc.backends.fx.emit import emit
from lottoc.backends.fx.network import Network, masked_network
from lottoc.backends.fx.verify import verify
from lottoc.frontends.torch_model import TorchModel

COSTS = read_costs("torch-cpu")


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


def test_the_tables_are_whole() -> None:
    threads = [costs.threads for costs in COSTS]
    assert threads == sorted(set(threads))
    assert threads[0] == 1
    for costs in COSTS:
        for table, axes in (
            (costs.dense, ["inputs", "outputs", "places"]),
            (costs.csr, ["inputs", "outputs", "kept", "places"]),
        ):
            assert list(table.axes) == axes
            assert table.microseconds.shape == tuple(map(len, table.axes.values()))
            assert (table.microseconds > 0).all()
            assert all(list(axis) == sorted(set(axis)) for axis in table.axes.values())


def test_a_prediction_is_what_was_measured() -> None:
    costs = COSTS[0]
    (found, *_) = predict(COSTS, (1024, 1024), 1024 * 1024 // 20, [1], [16])
    at = {name: list(axis).index for name, axis in costs.csr.axes.items()}
    csr = costs.csr.microseconds[
        at["inputs"](1024), at["outputs"](1024), at["kept"](50), at["places"](16)
    ]
    dense = costs.dense.microseconds[at["inputs"](1024), at["outputs"](1024), at["places"](16)]
    assert found == Prediction(16, 1, pytest.approx(dense), pytest.approx(csr))
    (twice, *_) = predict(COSTS, (1024, 1024), 1024 * 1024 // 20, [1, 1], [16])
    assert twice.csr == pytest.approx(2 * csr)


@pytest.mark.parametrize(
    ("gains", "expected"),
    [((1.2, 1.2), True), ((3.0, 0.9), False), ((1.05, 1.05), False), ((), False)],
)
def test_when_it_pays(gains: tuple[float, ...], expected: bool) -> None:
    assert pays([Prediction(1, 1, gain, 1.0) for gain in gains]) == expected


def test_few_weights_run_as_compressed_rows_and_many_do_not(tmp_path: Path) -> None:
    x = np.zeros((3, 1024), np.float32) + np.arange(1024, dtype=np.float32) / 1024
    masked = wide(0.01)
    reports = emit(masked, tmp_path / "few.pt2", x, batches=(1, 16))
    assert [report.format for report in reports] == ["csr", "csr"]
    batches = [(each.batch, each.threads) for each in reports[0].predicted]
    assert batches == [(batch, costs.threads) for batch in (1, 16) for costs in COSTS]
    assert all(b.csr > a.csr for a, b in zip(*(r.predicted for r in reports), strict=True))
    assert verify(tmp_path / "few.pt2", masked, x).layers == 2
    reports = emit(wide(0.5), tmp_path / "many.pt2", x, batches=(1, 16))
    assert [report.format for report in reports] == ["dense", "dense"]


def test_a_weight_that_is_used_by_hand_stays_dense(tmp_path: Path) -> None:
    reports = emit(network(ByHand, scattered), tmp_path / "m.pt2", sample(ByHand))
    assert {report.format for report in reports} == {"dense"}
    assert not any(report.predicted for report in reports)
