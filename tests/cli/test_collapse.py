"""`on_collapse` from the outside: what is said of a network that masks have cut, and its repair."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save
from typer.testing import CliRunner, Result

from lottoc.cli import app

CHAIN = """
model net { source = onnx("net-dense.onnx") }
ticket t { layers = all   criterion = random   sparsity = 99%   KEY }
emit onnx "t.onnx" { ticket = t }
"""

BLOCK = """
model net { source = onnx("block.onnx") }
ticket t { layers = "b" | "c"   scope = layerwise   sparsity = 98.4375%   KEY }
REQUIRE
emit onnx "t.onnx" { ticket = t }
"""

TRAINED = """
model net { source = torch("net.py:net")   seed = 3 }
data blobs { train = npz("blobs.npz", x = "x_train", y = "y_train") }
training sgd { optimizer = sgd(lr = 0.1)   batch = 20   length = 5 steps }
ticket t { layers = all   criterion = random   sparsity = 99.5%   method = imp(rounds = 2)   KEY }
"""


def block(path: Path) -> None:
    """a, then a + c(relu(b(a))), then d; b's best weight leads to unit 1, c's reads unit 2."""
    draw = np.random.default_rng(0)
    weights = {n: draw.random((8, 8)).astype(np.float32) + 0.1 for n in "abcd"}
    weights["b"][1, 0] = weights["c"][0, 2] = 9
    nodes = [
        helper.make_node("Gemm", ["x", "a.weight"], ["a"], transB=1),
        helper.make_node("Gemm", ["a", "b.weight"], ["b"], transB=1),
        helper.make_node("Relu", ["b"], ["r"]),
        helper.make_node("Gemm", ["r", "c.weight"], ["c"], transB=1),
        helper.make_node("Add", ["a", "c"], ["s"]),
        helper.make_node("Gemm", ["s", "d.weight"], ["y"], transB=1),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 8]) for n in "xy"]
    tensors = [numpy_helper.from_array(w, f"{n}.weight") for n, w in weights.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    opsets = [helper.make_opsetid("", 18)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)


def compiled(recipe: str, key: str = "", *options: str) -> Result:
    Path("r.lotto").write_text(recipe.replace("KEY", key))
    return CliRunner().invoke(app, ["compile", "r.lotto", "-o", "out", *options])


def ticket() -> dict[str, Any]:
    return dict(json.loads(Path("out/report.json").read_text())["tickets"]["t"])


@pytest.mark.parametrize("key", ["", "on_collapse = error"])
def test_an_output_without_any_input_is_an_error(project: Path, key: str) -> None:
    result = compiled(CHAIN, key)
    assert result.exit_code == 2
    message = 'error[output-cut]: under the mask of "t", output "y" depends on no input any more\n'
    assert f"{message} --> r.lotto:3:8\n" in result.stderr
    assert '= help: layer "fc1" leads only to units that no output reads' in result.stderr
    assert not Path("out/t.onnx").exists()


def test_keep_best_repairs_at_the_same_sparsity(project: Path) -> None:
    assert compiled(CHAIN, "on_collapse = keep_best").exit_code == 0
    found = ticket()
    assert found["kept"] == 640 - 640 * 99 // 100
    assert sum(change["put_back"] for change in found["repaired"]) == 1
    assert sum(change["dropped"] for change in found["repaired"]) == 1


def test_ignore_is_silent(project: Path) -> None:
    result = compiled(CHAIN, "on_collapse = ignore")
    assert (result.exit_code, "output" in result.stderr) == (0, False)


def test_silent_layers_are_a_warning_and_an_error_on_demand(project: Path) -> None:
    block(project / "block.onnx")
    recipe = BLOCK.replace("REQUIRE", "")
    result = compiled(recipe)
    assert result.exit_code == 0
    assert 'warning[layer-silent]: 2 layers of "t" carry no signal\n' in result.stderr
    assert '= help: layer "c" reads only units that no input reaches' in result.stderr
    assert compiled(recipe, "", "--werror").exit_code == 2
    refused = compiled(recipe, "on_collapse = error")
    assert refused.exit_code == 2
    assert 'error[layer-collapse]: 2 layers of "t" carry no signal\n' in refused.stderr
    assert "layer-silent" not in compiled(recipe, "on_collapse = ignore").stderr


def test_collapse_counts_layers_without_signal(project: Path) -> None:
    block(project / "block.onnx")
    recipe = BLOCK.replace("REQUIRE", "require collapse(t) == none")
    failed = compiled(recipe)
    assert failed.exit_code == 1
    assert "collapse(t) == none does not hold: 2 == 0 is false" in failed.stderr
    assert compiled(recipe, "on_collapse = keep_best").exit_code == 0
    assert ticket()["repaired"] == [
        # c gets a weight that reads what b makes, and loses the one that read a dead unit
        {"round": 1, "layer": "c", "put_back": 1, "dropped": 1},
    ]


def test_every_round_of_a_training_is_repaired(project: Path) -> None:
    assert compiled(TRAINED, "on_collapse = error").exit_code == 2
    assert compiled(TRAINED, "on_collapse = keep_best", "--store", "one").exit_code == 0
    found, report = ticket(), Path("out/report.json").read_bytes()
    size = 16 * 32 + 32 * 16 + 16 * 4
    assert found["kept"] == size - size * 995 // 1000
    assert found["repaired"]
    assert compiled(TRAINED, "on_collapse = keep_best", "--store", "two").exit_code == 0
    assert Path("out/report.json").read_bytes() == report


def test_a_torch_model_without_data_has_no_shape_to_be_looked_at_in(project: Path) -> None:
    recipe = 'model net { source = torch("net.py:net") }\n'
    recipe += "ticket t { layers = all   sparsity = 50%   on_collapse = error }"
    result = compiled(recipe)
    assert result.exit_code == 2
    assert "error[export-needs-data]" in result.stderr
    assert "--> r.lotto:2:8" in result.stderr
