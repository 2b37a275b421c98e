"""`flops` of a ticket: kept weights times places, from a recipe or IR to the report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from lottoc.cli import app
from lottoc.engine.flops import count
from lottoc.frontends.places import narrowed
from lottoc.masks.mask import Mask

SHAPE = st.lists(st.integers(1, 5), min_size=2, max_size=4).map(tuple)


@settings(max_examples=100)
@given(st.lists(st.tuples(SHAPE, st.integers(0, 3), st.booleans()), min_size=1), st.randoms())
def test_every_kept_weight_counts_at_each_of_its_places(layers: Any, random: Any) -> None:
    rng = np.random.default_rng(random.getrandbits(32))
    shapes, places, masks, expected = {}, {}, {}, 0
    for number, (shape, alike, masked) in enumerate(layers):
        name = f"layer{number}"
        sizes = [1 if axis < alike else size for axis, size in enumerate(shape)]
        used = np.broadcast_to(rng.integers(0, 9, sizes).astype(np.float64), shape)
        kept = rng.random(shape) < 0.4 if masked else np.ones(shape, bool)
        shapes[name], places[name] = shape, narrowed(used)
        if masked:
            masks[name] = Mask.from_bool(kept)
        for index in np.ndindex(*shape):
            expected += int(kept[index]) * int(used[index])
    assert count(places, shapes, masks) == expected


NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv1d(1, 6, 4, stride=4)
        self.mix = nn.Linear(6, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        tokens = self.patches(x[:, None]).transpose(1, 2)   # [n, 4, 6]
        for _ in range(2):
            tokens = tokens + self.mix(tokens).relu()
        return self.head(tokens.mean(1))

def net():
    return Net()
"""
PLACES = {"patches": 4, "mix": 8, "head": 1}
SIZES = {"patches": 24, "mix": 36, "head": 24}
DENSE = sum(SIZES[name] * PLACES[name] for name in SIZES)

RECIPE = """
model net { source = torch("net.py:net") }
data d {
  train = npz("d.npz", x = "x", y = "y")
  test  = npz("d.npz", x = "x", y = "y")
}
training sgd { optimizer = sgd(lr = 0.1)   batch = 10   length = 4 steps }
ticket t    { layers = "patches" | "mix"   sparsity = 50% }
ticket task { layers = linear              sparsity = 90%   method = lota(calibrate = 2 steps) }
split parts { ticket = t   partitions = random(2) }
require t.flops          <= dense.flops * 90%
require task.flops       == dense.flops
require parts.core.flops <= t.flops
require t.params         <= dense.params
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 16)).astype(np.float32), rng.integers(0, 4, 20)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "r.lotto").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def by_hand(ticket: dict[str, Any]) -> float:
    kept = SIZES | {layer["name"]: layer["kept"] for layer in ticket["layers"]}
    return sum(kept[name] * PLACES[name] for name in SIZES)


def test_a_recipe(folder: Path) -> None:
    built = run("compile", "r.lotto", "-o", "out")
    assert built.exit_code == 0, built.output
    tickets = json.loads((folder / "out" / "report.json").read_text())["tickets"]
    assert tickets["dense"]["metrics"]["flops"] == DENSE
    assert tickets["task"]["metrics"]["flops"] == DENSE
    assert tickets["t"]["metrics"]["flops"] == by_hand(tickets["t"]) < DENSE
    assert tickets["parts.core"]["metrics"]["flops"] == by_hand(tickets["parts.core"])
    assert tickets["t"]["metrics"]["params"] == 54
    assert "flops" not in tickets["parts.specialist(1)"]["metrics"]
    assert re.search(r"sparsity +accuracy +flops +file", built.stdout)
    assert re.search(rf"\n dense +0.00% +[0-9.]+% +{DENSE} ", built.stdout)
    again = run("compile", "r.lotto", "-o", "out")
    assert "all results reused" in again.stdout


def test_a_contract_on_the_work_can_fail(folder: Path) -> None:
    text = RECIPE.replace("dense.flops * 90%", "dense.flops * 5%")
    (folder / "r.lotto").write_text(text)
    built = run("compile", "r.lotto", "-o", "out")
    assert built.exit_code == 1
    assert f"<= {DENSE * 0.05:.6g} is false" in built.stderr


def test_the_same_from_ir(folder: Path) -> None:
    shown = run("ir", "--stage", "masks", "r.lotto")
    assert shown.exit_code == 0, shown.output
    text = shown.stdout
    assert text.count(" = lotto.places") == 1
    assert "sampled from %" in text
    Path("r.mlir").write_text(text)
    assert run("compile", "r.mlir", "-o", "ir").exit_code == 0
    assert run("compile", "r.lotto", "-o", "out").exit_code == 0
    tickets = [
        json.loads((folder / out / "report.json").read_text())["tickets"] for out in ("ir", "out")
    ]
    assert tickets[0] == tickets[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((r'sampled from %\w+ {split = "test"}', ""), "a model of torch says no shape"),
        (('{split = "test"} : !lotto.places', "{} : !lotto.places"), "come together"),
        (('{split = "test"} : !lotto.places', '{split = "tent"} : !lotto.places'), '"tent"'),
    ],
)
def test_ir_that_asks_for_what_is_not_there(
    folder: Path, change: tuple[str, str], said: str
) -> None:
    text = re.sub(*change, run("ir", "--stage", "masks", "r.lotto").stdout)
    Path("r.mlir").write_text(text)
    built = run("compile", "r.mlir", "-o", "ir")
    assert built.exit_code == 2
    assert said in built.stderr


ONNX = """
model net { source = onnx("net.onnx") }
ticket t { layers = all   sparsity = 50% }
require t.flops <= dense.flops * 60%
"""


def onnx(length: int | str) -> None:
    from onnx import TensorProto, helper, numpy_helper, save

    weight = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["tokens", "fc.weight"], ["y"])],
        "net",
        [helper.make_tensor_value_info("tokens", TensorProto.FLOAT, ["n", length, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "fc.weight")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save(made, "net.onnx")


def test_an_onnx_model(folder: Path) -> None:
    onnx(5)
    Path("o.lotto").write_text(ONNX)
    assert run("compile", "o.lotto", "-o", "out").exit_code == 0
    (require,) = json.loads((folder / "out" / "report.json").read_text())["requires"]
    assert (require["left"], require["right"]) == (12 * 5, 24 * 5 * 0.6)


def test_an_onnx_model_whose_length_is_open(folder: Path) -> None:
    onnx("length")
    Path("o.lotto").write_text(ONNX)
    checked = run("check", "o.lotto")
    assert checked.exit_code == 2
    assert checked.stderr.count("error[flops-needs-data]") == 2
    assert 'of "net", input tokens [n, length, 4] is open' in checked.stderr
    np.savez("x.npz", tokens=np.zeros((2, 7, 4), np.float32))
    data = 'data d { calibration = npz("x.npz", tokens = "tokens") }'
    Path("o.lotto").write_text(ONNX + data)
    built = run("compile", "o.lotto", "-o", "out", "--werror")
    assert built.exit_code == 0, built.output
    (require,) = json.loads((folder / "out" / "report.json").read_text())["requires"]
    assert require["left"] == 12 * 7
    text = run("ir", "--stage", "masks", "o.lotto").stdout
    text = re.sub(r'sampled from %\w+ {split = "calibration"}', "", text)
    Path("o.mlir").write_text(text)
    built = run("compile", "o.mlir", "-o", "ir")
    assert built.exit_code == 2
    assert "want an example: input tokens [n, length, 4] is open" in built.stderr
