"""SynFlow prunes as far as can be pruned at all; SNIP, GraSP and magnitude lose layers (Tanaka et
al. 2020, axiom of maximal critical compression): recipes, run whole, on a small VGG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lottoc.diagnostics import Findings
from lottoc.driver import mask_ir, recipe_ir
from lottoc.engine.evaluate import Engine
from lottoc.engine.store import Store
from lottoc.front import Request, front
from lottoc.ir import lotto
from lottoc.progress import Silent

VGG = """
from torch import nn

def vgg():
    layers, width = [], 3
    for out, pool in ((16, 0), (16, 1), (32, 0), (32, 1), (64, 0), (64, 1)):
        layers += [nn.Conv2d(width, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] * pool
        width = out
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 10))
"""
SIZES = [432, 2304, 4608, 9216, 18432, 36864, 640]
RECIPE = """
param size = COMPRESSION
model vgg { source = torch("vgg.py:vgg") }
data d { train = npz("d.npz", x = "x", y = "y") }
ticket once      { layers = all   compression = size   criterion = synflow(rounds = 1) }
ticket synflow   { like = once   criterion = synflow }
ticket snip      { like = once   criterion = snip }
ticket grasp     { like = once   criterion = grasp }
ticket magnitude { like = once   criterion = magnitude }
""".replace("COMPRESSION", str(sum(SIZES) / 6.5))  # so 7 weights are kept, for 7 layers


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """How many weights each ticket keeps in each layer."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vgg.py").write_text(VGG)
    (tmp_path / "r.lotto").write_text(RECIPE)
    x = np.random.default_rng(0).normal(size=(50, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(50) % 10)
    request = Request(Path("r.lotto"), Store(tmp_path / "store"))
    _, program = front(request, Findings(), deep=True)
    module = mask_ir(recipe_ir(request, program))
    engine = Engine(request.store, Silent())
    engine.run(module)
    return {
        op.ticket.data: [mask.kept for mask in engine.value(op.masks).values()]
        for op in module.ops
        if isinstance(op, lotto.TicketOp) and op.masks is not None
    }


def test_maximal_critical_compression(kept: dict[str, list[int]]) -> None:
    assert kept["synflow"] == [1] * 7
    for other in ("once", "snip", "grasp", "magnitude"):
        assert sum(kept[other]) == 7
        assert 0 in kept[other]
