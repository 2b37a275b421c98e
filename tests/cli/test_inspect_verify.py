"""`lottoc inspect` and `lottoc verify`: real files, files of others, and damaged ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner, Result

sys.path.insert(0, str(Path(__file__).parents[1]))

from onnx_toys import build

from lottoc.backends.onnx import emit
from lottoc.cli import app
from lottoc.frontends.onnx_model import open_onnx


def lottoc(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


TWO_OF_FOUR = (True, False, False, True)
HALF = (True, True, True, False, False, False)


def written(folder: Path, format: str, kept: tuple[bool, ...] = TWO_OF_FOUR) -> Path:
    """A 16×24 linear layer of which half the weights are kept."""
    model = open_onnx(build("gemm", 16, 24).save(folder, "source.onnx"))
    mask = np.tile(np.array(kept), (16, 24 // len(kept)))
    emit(model, folder / f"{format}.onnx", {"fc": mask}, format=format)
    return folder / f"{format}.onnx"


@pytest.mark.parametrize("format", ["packed", "sparse", "dense"])
def test_what_was_written_is_shown_and_verified(format: str, tmp_path: Path) -> None:
    file = written(tmp_path, format)
    result = lottoc("inspect", file, "--format", "json")
    assert result.exit_code == 0
    (layer,) = json.loads(result.stdout)["layers"]
    nbytes = {"packed": 384 // 12 + 4 * 193, "sparse": 192 * 12, "dense": 384 * 4}[format]
    assert layer == {
        "name": "fc",
        "kind": "linear",
        "dtype": "float32",
        "shape": [16, 24],
        "format": format,
        "weights": 384,
        "kept": 192,
        "sparsity": 0.5,
        "pattern": "2:4",
        "bytes": nbytes,
        "values": "float32",
        "rounding": 0.0,
        "activations": "",
    }
    sound = lottoc("verify", file, "--format", "json")
    assert sound.exit_code == 0, sound.output
    answer = json.loads(sound.stdout)
    assert answer["layers"] == 1
    assert answer["runs"] > 0


def test_the_table(tmp_path: Path) -> None:
    lines = lottoc("inspect", written(tmp_path, "packed")).stdout.splitlines()
    head = ["layer", "shape", "format", "values", "kept", "sparsity", "pattern", "bytes"]
    assert lines[0].split() == head
    row = ["fc", "16×24", "packed", "float32", "192", "50.00%", "2:4", "804"]
    assert lines[1].split() == row
    assert lines[2].startswith("packed.onnx: ")
    assert "50.00% of 384 weights are zero" in lines[2]


def test_a_model_of_others(tmp_path: Path) -> None:
    file = build("conv2d", 4, 3).save(tmp_path)
    assert json.loads(lottoc("inspect", file, "--format", "json").stdout)["layers"][0][
        "pattern"
    ] == ("dense")
    sound = lottoc("verify", file)
    assert sound.exit_code == 0
    assert "not written by lottoc" in sound.stdout


def more_bits(proto: Any) -> None:
    (bits,) = [t for t in proto.graph.initializer if t.name.endswith(".bits")]
    assert bits.raw_data[6] == 0
    bits.raw_data = bits.raw_data[:6] + b"\xff" + bits.raw_data[7:]


def no_such_code(proto: Any) -> None:
    (codes,) = [t for t in proto.graph.initializer if t.name.endswith(".codes")]
    codes.raw_data = codes.raw_data[:2] + b"\xff" + codes.raw_data[3:]


def other_counts(proto: Any) -> None:
    for entry in proto.metadata_props:
        entry.value = entry.value.replace("192", "191")


def missing_layer(proto: Any) -> None:
    for entry in proto.metadata_props:
        entry.value = entry.value.replace('"fc"', '"fc2"')


def no_notes(proto: Any) -> None:
    for entry in proto.metadata_props:
        entry.value = '{"layers": {"fc": 3}}'


def unknown_operator(proto: Any) -> None:
    proto.graph.node[-1].op_type = "Gemn"


def misfit(proto: Any) -> None:
    """Valid on paper: the checker does no shapes, but a runtime must."""
    (values,) = [t for t in proto.graph.initializer if t.name.endswith(".shape")]
    values.raw_data = np.array([12, 32], np.int64).tobytes()


@pytest.mark.parametrize(
    ("damage", "kept", "said"),
    [
        (more_bits, HALF, "keeps 200 weights"),
        (no_such_code, TWO_OF_FOUR, "is no mask"),
        (other_counts, TWO_OF_FOUR, 'layer "fc" holds 192 weights, 191 were written'),
        (missing_layer, TWO_OF_FOUR, 'the weight of layer "fc2" is missing'),
        (no_notes, TWO_OF_FOUR, "what lottoc noted in the file is damaged"),
        (unknown_operator, TWO_OF_FOUR, "Gemn"),
        (misfit, TWO_OF_FOUR, "onnxruntime cannot"),
    ],
)
def test_damage_is_found(damage: Any, kept: tuple[bool, ...], said: str, tmp_path: Path) -> None:
    file = written(tmp_path, "packed", kept)
    proto = onnx.load(file)
    damage(proto)
    onnx.save(proto, file)
    result = lottoc("verify", file)
    assert result.exit_code == 3, result.output
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_cut_file_and_a_missing_one(tmp_path: Path) -> None:
    file = written(tmp_path, "packed")
    file.write_bytes(file.read_bytes()[:-300])
    for command in ("inspect", "verify"):
        assert "error[onnx-invalid]" in lottoc(command, file).stderr
        missing = lottoc(command, tmp_path / "none.onnx")
        assert missing.exit_code == 3
        assert "error[model-not-found]" in missing.stderr


def test_inputs_that_cannot_be_made_up_are_no_damage(tmp_path: Path) -> None:
    helper = onnx.helper
    text = onnx.TensorProto.STRING
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "text",
        [helper.make_tensor_value_info("x", text, ["n"])],
        [helper.make_tensor_value_info("y", text, ["n"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "text.onnx")
    result = lottoc("verify", tmp_path / "text.onnx")
    assert result.exit_code == 0, result.output
    assert 'not run, input "x" is a tensor(string)' in result.stdout
    assert "no prunable layers" in lottoc("inspect", tmp_path / "text.onnx").stdout
