"""`lottoc init`: the written recipe checks, compiles, selects what fits, and overwrites nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner, Result

from lottoc.cli import app
from lottoc.diagnostics import Findings, Source
from lottoc.first_recipe import Subject, first_recipe, fits, selection
from lottoc.grammar import syntax
from lottoc.grammar.parser import parse
from lottoc.lower.read import Reader
from lottoc.lower.selectors import Selector
from lottoc.signature import Layer, Signature


def lottoc(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def chain(path: Path, sizes: dict[str, tuple[int, int]]) -> Path:
    """Linear layers in a row, [out, in] each."""
    nodes, weights, value = [], [], "x"
    for name, shape in sizes.items():
        weights.append(numpy_helper.from_array(np.ones(shape, np.float32), f"{name}.weight"))
        nodes.append(helper.make_node("Gemm", [value, f"{name}.weight"], [f"y{name}"], transB=1))
        value = f"y{name}"
    first, last = next(iter(sizes.values())), list(sizes.values())[-1]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", first[1]])]
    outputs = [helper.make_tensor_value_info(value, TensorProto.FLOAT, ["n", last[0]])]
    graph = helper.make_graph(nodes, "chain", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def test_a_recipe_for_an_onnx_file_compiles_as_it_is(project: Path) -> None:
    result = lottoc("init", "net-dense.onnx")
    assert result.exit_code == 0, result.output
    text = (project / "net-dense.lotto").read_text()
    assert "#   fc1     linear   32×16   512       fits" in text
    assert lottoc("check", "net-dense.lotto", "--werror").exit_code == 0
    assert lottoc("fmt", "--check", "net-dense.lotto").exit_code == 0
    assert lottoc("compile", "net-dense.lotto", "-o", "out").exit_code == 0
    report = json.loads((project / "out" / "report.json").read_text())
    assert {layer["pattern"] for layer in report["tickets"]["half"]["layers"]} == {"2:4"}


def test_a_recipe_for_a_torch_model_checks(project: Path) -> None:
    assert lottoc("init", "net.py:net", "-o", "n.lotto").exit_code == 0
    result = lottoc("check", "n.lotto", "--werror")
    assert result.exit_code == 0, result.output
    assert "layers-unknown" not in result.stderr  # init has learned them
    assert lottoc("fmt", "--check", "n.lotto").exit_code == 0
    (project / "blobs.npz").rename(project / "data.npz")
    text = (project / "n.lotto").read_text().replace("1000 steps", "120 steps")
    text = text.replace("accuracy - 5%", "accuracy - 50%")
    (project / "n.lotto").write_text(text)
    assert lottoc("compile", "n.lotto", "-q").exit_code == 0


def test_only_layers_that_fit_are_chosen(tmp_path: Path) -> None:
    chain(tmp_path / "m.onnx", {"a": (10, 16), "odd": (8, 10), "b": (2, 8)})
    assert lottoc("init", tmp_path / "m.onnx", "-o", tmp_path / "m.lotto").exit_code == 0
    assert 'layers    = all - "odd"\n' in (tmp_path / "m.lotto").read_text()
    assert lottoc("check", tmp_path / "m.lotto", "--werror").exit_code == 0


def test_no_layer_fits(tmp_path: Path) -> None:
    chain(tmp_path / "dense.onnx", {"a": (10, 15), "b": (2, 10)})
    assert lottoc("init", tmp_path / "dense.onnx", "-o", tmp_path / "m.lotto").exit_code == 0
    assert lottoc("check", tmp_path / "m.lotto", "--werror").exit_code == 0
    assert lottoc("fmt", "--check", tmp_path / "m.lotto").exit_code == 0


def test_paths_are_relative_to_the_recipe(project: Path) -> None:
    (project / "recipes").mkdir()
    (project / 'a "b".onnx').write_bytes((project / "net-dense.onnx").read_bytes())
    assert lottoc("init", 'a "b".onnx', "-o", "recipes/r.lotto").exit_code == 0
    assert 'onnx("../a \\"b\\".onnx")' in (project / "recipes" / "r.lotto").read_text()
    assert lottoc("check", "recipes/r.lotto", "--werror").exit_code == 0


def test_nothing_is_overwritten_unless_forced(project: Path) -> None:
    (project / "net-dense.lotto").write_text("mine")
    refused = lottoc("init", "net-dense.onnx")
    assert refused.exit_code == 3
    assert "error[recipe-exists]" in refused.stderr
    assert (project / "net-dense.lotto").read_text() == "mine"
    assert lottoc("init", "net-dense.onnx", "--force").exit_code == 0
    assert (project / "net-dense.lotto").read_text() != "mine"


def test_printing_writes_nothing(project: Path) -> None:
    before = sorted(project.iterdir())
    printed = lottoc("init", "net-dense.onnx", "-o", "-")
    assert parse(Source("printed", printed.stdout)).items
    assert sorted(project.iterdir()) == before


def test_what_cannot_be_done_is_said(project: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy"]
    graph = helper.make_graph([node], "relu", infos[:1], infos[1:])
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), project / "r.onnx")
    cases = {
        "r.onnx": (3, "nothing-to-prune"),
        "none.onnx": (3, "model-not-found"),
        "net.py:other": (3, "torch"),
        "net.py": (2, "neither"),
    }
    for model, (code, said) in cases.items():
        result = lottoc("init", model)
        assert result.exit_code == code, (model, result.output)
        assert said in result.stderr
    assert not list(project.glob("r.lotto"))


LAYERS = st.lists(
    st.builds(
        lambda name, kind, width: Layer(
            name, kind, (4, width) if kind == "linear" else (4, width, 3, 3)
        ),
        st.text(min_size=1, max_size=6),
        st.sampled_from(["linear", "conv"]),
        st.integers(1, 9),
    ),
    min_size=1,
    max_size=20,
    unique_by=lambda layer: layer.name,
)


@given(LAYERS)
@settings(deadline=None)
def test_the_selection_selects_just_what_fits(layers: list[Layer]) -> None:
    chosen = [layer for layer in layers if fits(layer)]
    text = first_recipe(Subject("onnx", "m.onnx", "m", tuple(layers)))
    tickets = [i for i in parse(Source("r", text)).items if isinstance(i, syntax.Block)]
    (entry,) = [e for b in tickets if b.kind == "ticket" for e in b.entries if e.key == "layers"]
    selected = Selector(Reader(Findings(), {}), Signature(tuple(layers))).layers(entry.value)
    if not chosen:
        assert list(selected) == layers
    elif all(layer.name.isprintable() for layer in layers):
        assert list(selected) == chosen


@pytest.mark.parametrize("stem", ["half", "dense", "3d-net", "é", "a.b c", "examples"])
@pytest.mark.parametrize("source", ["onnx", "torch"])
def test_any_file_name_gives_a_name(source: str, stem: str) -> None:
    layers = (Layer("a", "linear", (4, 8)),)
    subject = Subject("onnx" if source == "onnx" else "torch", "m:f", stem, layers)
    items = [i for i in parse(Source("r", first_recipe(subject))).items if hasattr(i, "name")]
    names = [i.name for i in items if not (isinstance(i, syntax.Block) and i.kind == "emit")]
    assert len(set(names)) == len(names)
    assert "dense" not in names
    assert selection(layers, layers) == "all"
