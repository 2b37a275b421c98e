"""Walking a torch model layer by layer: one thread a batch, which end with the walk."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lottoc.diagnostics import InputError
from lottoc.layerwise.moments import Squares, measure_all
from lottoc.layerwise.torch_walk import TorchWalk


class Skips(nn.Module):
    """Keeps in itself what belongs to the batch that runs, and calls one layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.twice = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.skip: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.skip = x
        x = torch.relu_(self.q(x) + self.k(input=x))
        x = self.twice(x)
        assert self.skip is not None
        return self.twice(x + self.skip)


def batches_of(x: np.ndarray, size: int) -> list[dict[str, np.ndarray]]:
    return [{"x": x[start : start + size]} for start in range(0, len(x), size)]


LAYERS = ["q", "k", "twice"]


def test_batches_do_not_meet_in_a_module(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Skips()
    x = np.random.default_rng(0).standard_normal((10, 8)).astype(np.float32)
    batches = batches_of(x, 3)
    walk = TorchWalk(net, LAYERS, batches[0], tmp_path)
    assert [walk.runs(name) for name in LAYERS] == [1, 1, 2]
    groups = [dict(stage.groups) for stage in walk.stages(LAYERS, batches)]
    assert groups == [{"q": ["q", "k"]}, {"twice": ["twice"]}, {"twice": ["twice"]}]
    found = measure_all(walk, LAYERS, batches, Squares, lambda steps: None)
    with torch.no_grad():
        given = torch.from_numpy(x)
        first = torch.relu(net.q(given) + net.k(given))
        second = net.twice(first) + given
    both = torch.cat([first, second]).double().numpy()
    np.testing.assert_allclose(found["q"], (x.astype(np.float64) ** 2).mean(0), rtol=1e-6)
    np.testing.assert_allclose(found["twice"], (both**2).mean(0), rtol=1e-5)
    assert not any(thread.name == "lottoc walk" for thread in threading.enumerate())


def test_a_walk_that_is_left_early_ends_its_threads(tmp_path: Path) -> None:
    x = np.ones((6, 8), np.float32)
    walk = TorchWalk(Skips(), LAYERS, {"x": x}, tmp_path)
    stages = walk.stages(LAYERS, batches_of(x, 2))
    next(stages)
    assert sum(thread.name == "lottoc walk" for thread in threading.enumerate()) == 3
    stages.close()
    assert not any(thread.name == "lottoc walk" for thread in threading.enumerate())


def test_the_error_of_a_run_ends_the_others(tmp_path: Path) -> None:
    class Late(Skips):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x[0, 0] > 0:
                raise RuntimeError("no")
            return super().forward(x)

    x = np.repeat([-1.0, -1.0, 1.0, -1.0], 2)[:, None].repeat(8, 1).astype(np.float32)
    walk = TorchWalk(Late(), LAYERS, {"x": x}, tmp_path)
    with pytest.raises(InputError, match="no"):
        list(walk.stages(LAYERS, batches_of(x, 2)))
    assert not any(thread.name == "lottoc walk" for thread in threading.enumerate())
