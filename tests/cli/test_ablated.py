"""Outputs that SRigL ablated are gone from the exported model: rows, biases, and whoever reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from lottoc.diagnostics import Findings
from lottoc.driver import mask_ir, recipe_ir
from lottoc.engine.evaluate import Engine
from lottoc.engine.store import Store
from lottoc.front import Request, front
from lottoc.ir import lotto
from lottoc.progress import Silent

NET = """
from torch import nn

def net():
    return nn.Sequential(nn.Linear(24, 40), nn.ReLU(), nn.Linear(40, 4))
"""
RECIPE = """
model m { source = torch("net.py:net") }
data d { train = npz("d.npz", x = "x", y = "y")   test = npz("d.npz", x = "x", y = "y") }
training loop { optimizer = adam(lr = 0.01)   batch = 20   length = 60 steps }
ticket t {
  layers   = all
  scope    = erk
  sparsity = 80%
  pattern  = fanin
  method   = srigl(every = 5 steps, ablate = 80%)
}
emit onnx "t.onnx" { ticket = t   format = dense }
"""


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    monkeypatch.chdir(tmp_path)
    stream = np.random.default_rng(0)
    x = stream.normal(size=(200, 24)).astype(np.float32)
    np.savez("d.npz", x=x, y=x[:, :4].argmax(1))
    Path("net.py").write_text(NET)
    Path("r.lotto").write_text(RECIPE)
    return Request(Path("r.lotto"), Store(tmp_path / "store"))


def test_dead_outputs_leave_the_file(request_: Request) -> None:
    from lottoc.driver import compile_recipe
    from lottoc.training.module import load_model

    compile_recipe(request_, Path("out"), Findings())
    module = mask_ir(recipe_ir(request_, front(request_, Findings(), deep=True)[1]))
    engine = Engine(request_.store, Silent())
    ticket = next(op for op in module.ops if isinstance(op, lotto.TicketOp) and op.masks)
    assert ticket.masks is not None
    masks = {name: m.to_bool() for name, m in engine.value(ticket.masks).items()}
    ablated = ~masks["0"].any(axis=1)
    read = masks["2"].any(axis=0)
    assert ablated.sum() >= 3, "the training has to ablate something"
    assert len({int(n) for n in masks["0"].sum(axis=1)} - {0}) == 1, "the others share one fan-in"

    arrays = {i.name: numpy_helper.to_array(i) for i in onnx.load("out/t.onnx").graph.initializer}
    live = int((~ablated & read).sum())
    shapes = sorted(a.shape for a in arrays.values() if a.ndim)
    assert shapes == sorted([(live, 24), (live,), (4, live), (4,)])

    net = request_models(engine, module)
    load_model(net, engine.value(ticket.weights))
    x = np.random.default_rng(1).normal(size=(7, 24)).astype(np.float32)
    session = onnxruntime.InferenceSession("out/t.onnx")
    found = session.run(None, {session.get_inputs()[0].name: x})[0]
    with torch.no_grad():
        np.testing.assert_allclose(found, net.eval()(torch.from_numpy(x)).numpy(), atol=1e-5)
    layers = json.loads(Path("out/report.json").read_text())["artefacts"][0]["layers"]
    assert [layer["name"] for layer in layers] == ["0", "2"]


def request_models(engine: Engine, module: object) -> torch.nn.Module:
    """The torch network of the recipe."""
    model = next(op for op in module.ops if isinstance(op, lotto.ModelOp))  # type: ignore[attr-defined]
    net: torch.nn.Module = engine.value(model.result).build(0)
    return net
