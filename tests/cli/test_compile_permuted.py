"""`pattern = permuted(2, 4)` from a recipe to the file: ONNX, torch models, controls, IR text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner, Result

from lottoc.cli import app
from lottoc.masks.patterns import parse

ONNX = """
model net { source = onnx("net-dense.onnx") }
ticket half { layers = all   pattern = permuted(2, 4) }
ticket plain { layers = all   pattern = 2:4 }
emit onnx "permuted.onnx" { ticket = half   format = dense }
emit onnx "plain.onnx" { ticket = plain   format = dense }
"""

RESIDUAL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(16, 32)
        self.norm = nn.LayerNorm(32)
        self.up, self.gate = nn.Linear(32, 24), nn.Linear(32, 24)
        self.down = nn.Linear(24, 32)
        self.last = nn.Linear(32, 4)

    def forward(self, x):
        x = self.first(x)
        y = self.norm(x)
        x = x + self.down(torch.relu(self.up(y)) * self.gate(y))
        return self.last(x)

def net():
    return Net()
"""

TORCH = """
model net { source = torch("residual.py:net")   seed = 3 }
data blobs { train = npz("blobs.npz", x = "x_train", y = "y_train") }
training sgd { optimizer = sgd(lr = 0.05)   batch = 20   length = 30 steps }
ticket winning {
  layers  = all
  pattern = permuted(2, 4)
  method  = imp(rounds = 2, rewind = 5 steps)
}
ticket redrawn { like = winning   weights = reinit }
emit onnx "winning.onnx" { ticket = winning   format = dense }
emit onnx "redrawn.onnx" { ticket = redrawn   format = dense }
"""


def lottoc(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def built(project: Path, recipe: str, *options: str) -> tuple[dict[str, Any], str]:
    (project / "r.lotto").write_text(recipe)
    result = lottoc("compile", "r.lotto", "-o", "out", *options)
    assert result.exit_code == 0, result.output
    return json.loads((project / "out" / "report.json").read_text()), result.output


def weights(path: Path) -> dict[str, np.ndarray]:
    proto = onnx.load(path)
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    return {name: array for name, array in arrays.items() if array.ndim == 2}


def test_an_onnx_model(project: Path) -> None:
    report, output = built(project, ONNX, "-v")
    layers = report["artefacts"][0]["layers"]
    reason = 'kept: it reads "x", an input of the model'
    assert [layer["order"] for layer in layers] == [reason, "permuted"]
    assert "order of channels for fc2" in output
    assert f"permuted.onnx: channels of fc1 {reason}" in output
    assert "permuted.onnx: channels of fc2 permuted" in output
    shown = lottoc("report", "out").stdout.splitlines()
    assert f"channels {reason}:  fc1" in shown
    assert "channels permuted:  fc2" in shown
    patterns = [layer["pattern"] for layer in report["tickets"]["half"]["layers"]]
    assert patterns == ["2:4", "permuted(2, 4)"]
    permuted, plain = (weights(project / "out" / f"{n}.onnx") for n in ("permuted", "plain"))
    for found in (permuted, plain):
        assert parse("2:4").holds(found["fc2.weight"] != 0)
    kept = [np.abs(found["fc2.weight"]).sum() for found in (permuted, plain)]
    assert kept[0] > 1.05 * kept[1]
    assert sorted(map(tuple, permuted["fc1.weight"])) == sorted(map(tuple, plain["fc1.weight"]))


def test_a_torch_model_with_rounds_and_a_control(project: Path) -> None:
    (project / "residual.py").write_text(RESIDUAL)
    report, _ = built(project, TORCH)
    for artefact in report["artefacts"]:
        orders = {layer["name"]: layer["order"] for layer in artefact["layers"]}
        assert orders.pop("first").startswith("kept: it reads")
        assert set(orders.values()) == {"permuted"}, orders
        for array in weights(project / "out" / artefact["path"]).values():
            stored = array != 0
            found = [s for s in (stored, stored.T) if s.shape[1] % 4 == 0]
            assert any(parse("2:4").holds(np.ascontiguousarray(s)) for s in found)
    tickets = report["tickets"]
    assert [layer["kept"] for layer in tickets["winning"]["layers"]] == [
        layer["kept"] for layer in tickets["redrawn"]["layers"]
    ]


def test_up_gate_and_what_is_joined_share_an_order(project: Path) -> None:
    """`last` reads the residual stream, which is not what was normalized, but moves with it."""
    (project / "residual.py").write_text(RESIDUAL)
    (project / "r.lotto").write_text(TORCH)
    text = lottoc("ir", "--stage", "masks", "r.lotto").stdout
    orders = [line for line in text.splitlines() if "mask.order" in line and "over" in line]
    assert [line.count("!mask.scores<") for line in orders] == [3, 1]
    assert "!mask.order<32>" in orders[0]
    assert "!mask.order<24>" in orders[1]


def test_ir_text_builds_the_same(project: Path) -> None:
    built(project, ONNX)
    text = lottoc("ir", "--stage", "masks", "r.lotto").stdout
    (project / "r.mlir").write_text(text)
    result = lottoc("compile", "r.mlir", "-o", "from-ir")
    assert result.exit_code == 0, result.output
    for name in ("permuted.onnx", "plain.onnx"):
        assert (project / "out" / name).read_bytes() == (project / "from-ir" / name).read_bytes()


def test_ir_text_that_orders_what_cannot_move_is_refused(project: Path) -> None:
    (project / "r.lotto").write_text(ONNX)
    text = lottoc("ir", "r.lotto").stdout
    (project / "r.mlir").write_text(
        text.replace("conv, 32x16", "").replace("32x16xf32>", "32x16xf32, reads 5>")
    )
    result = lottoc("compile", "r.mlir", "-o", "from-ir")
    assert result.exit_code == 3
    assert "error[onnx-order]" in result.output
    assert 'it reads "x", an input of the model' in result.output


def test_check_neither_opens_the_graph_nor_loads_torch(project: Path) -> None:
    (project / "r.lotto").write_text(ONNX)
    assert lottoc("check", "r.lotto").exit_code == 0
    assert not list(Path("store").rglob("*.json"))


def test_a_torch_model_without_data_is_refused(project: Path) -> None:
    (project / "r.lotto").write_text(
        'model net { source = torch("net.py:net") }\n'
        "ticket half { layers = all   pattern = permuted(2, 4) }\n"
        'emit onnx "n.onnx" { ticket = half }\n'
    )
    result = lottoc("compile", "r.lotto", "-o", "out")
    assert result.exit_code == 2
    assert "error[export-needs-data]" in result.output
    assert "to see which layers read the same channels" in result.output
    assert "r.lotto:2:8" in result.output


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("permuted(5, 4)", "must keep between 1 and 4 of every 4"),
        ("permuted(2)", "permuted needs how many of how many are kept"),
        (
            "permuted(2, 3)",
            'does not fit layer "fc1": its input has 16 features, not a multiple of 3',
        ),
    ],
)
def test_patterns_that_cannot_be(project: Path, pattern: str, message: str) -> None:
    (project / "r.lotto").write_text(ONNX.replace("permuted(2, 4)", pattern))
    result = lottoc("check", "r.lotto")
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
