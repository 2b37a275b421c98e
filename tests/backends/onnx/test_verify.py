"""The verifier passes what is right and names what is wrong; every check here can fail."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_toys import CONV, LINEAR, Toy, build, random_mask

from lottoc.backends.onnx import emit, verify
from lottoc.backends.onnx.run import Answer, Job, do, run_apart
from lottoc.backends.onnx.trial import CannotMakeUp, Setting, make_inputs
from lottoc.diagnostics import LottoError
from lottoc.frontends.onnx_file import OnnxFile
from lottoc.frontends.onnx_model import OnnxModel, open_onnx

verify_module = importlib.import_module("lottoc.backends.onnx.verify")


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run jobs here: the child processes have tests of their own."""
    monkeypatch.setattr(verify_module, "run_apart", do)


def written(
    toy: Toy, folder: Path, format: str, density: float = 0.5, values: str = "same"
) -> tuple[Path, OnnxModel, dict[str, np.ndarray]]:
    model = open_onnx(toy.save(folder))
    masks = {toy.layer: random_mask(toy.shape, density)}
    emit(model, folder / "out.onnx", masks, format=format, values=values)
    return folder / "out.onnx", model, masks


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("format", ["dense", "sparse", "packed"])
@pytest.mark.parametrize("kind", [*LINEAR, *CONV])
def test_what_emit_writes_passes(kind: str, format: str, tmp_path: Path) -> None:
    report = verify(*written(build(kind, 9, 13), tmp_path, format))
    assert report.layers == 1
    assert report.not_run == ""
    assert len(report.trials) == 2
    assert report.max_error == 0.0


def test_a_child_process_does_the_running(tmp_path: Path) -> None:
    toy = build("gemm", 9, 13)
    path, model, masks = written(toy, tmp_path, "packed")
    report = verify(path, model, masks)
    assert [trial.shapes for trial in report.trials] == [{"x": (2, 13)}, {"x": (1, 13)}]


@pytest.mark.usefixtures("in_process")
def test_values_stored_in_half_are_held_to_half(tmp_path: Path) -> None:
    report = verify(*written(build("gemm", 9, 13), tmp_path, "packed", values="float16"))
    assert report.max_error == 0.0


@pytest.mark.usefixtures("in_process")
def test_external_data_and_a_split_artefact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = build("gemm", 64, 64)
    source = tmp_path / "source" / "model.onnx"
    source.parent.mkdir()
    onnx.save(toy.proto, source, save_as_external_data=True, location="m.bin", size_threshold=0)
    monkeypatch.setattr(importlib.import_module("lottoc.backends.onnx.emit"), "MAX_FILE", 4000)
    model, masks = open_onnx(source), {"fc": random_mask(toy.shape, 0.5)}
    emit(model, tmp_path / "out.onnx", masks)
    assert (tmp_path / "out.onnx.data").exists()
    assert len(verify(tmp_path / "out.onnx", model, masks).trials) == 2


def complaint(path: Path, model: OnnxModel, masks: dict[str, np.ndarray]) -> str:
    with pytest.raises(LottoError) as raised:
        verify(path, model, masks)
    assert raised.value.diagnostics[0].code == "verify-failed"
    return raised.value.diagnostics[0].message


def flip(path: Path, tensor: str, byte: int, bit: int = 0) -> None:
    """Flip one bit of a tensor's payload inside a file."""
    extent = OnnxFile(path).initializers[tensor].extent
    assert extent is not None
    raw = bytearray(path.read_bytes())
    raw[extent.offset + byte] ^= 1 << bit
    path.write_bytes(raw)


@pytest.mark.parametrize("byte", [0, 3, 14])
def test_a_flipped_mask_bit_is_found(byte: int, tmp_path: Path) -> None:
    case = written(build("gemm", 9, 13), tmp_path, "packed")
    flip(case[0], "fc.weight.bits", byte)
    assert "keeps" in complaint(*case)


def test_two_flipped_mask_bits_that_cancel_out_are_found(tmp_path: Path) -> None:
    case = written(build("gemm-transposed", 9, 13), tmp_path, "packed")
    mask = case[2]["fc"].reshape(-1)
    for place in (int(np.argmax(mask)), int(np.argmin(mask))):
        flip(case[0], "fc.weight.bits", place // 8, place % 8)
    assert '"fc"' in complaint(*case)


@pytest.mark.parametrize("bit", [0, 31])
def test_a_flipped_value_is_found(bit: int, tmp_path: Path) -> None:
    case = written(build("gemm", 9, 13), tmp_path, "packed")
    flip(case[0], "fc.weight.values", 4 * 5 + bit // 8, bit % 8)
    assert "1 of 117 weights differ" in complaint(*case)


def test_a_pruned_weight_that_is_no_zero_is_found(tmp_path: Path) -> None:
    case = written(build("gemm", 9, 13), tmp_path, "packed")
    flip(case[0], "fc.weight.values", 3, 7)
    pruned = 117 - int(case[2]["fc"].sum())
    assert f"{pruned} of 117 weights differ" in complaint(*case)


def test_damage_of_a_dense_weight_is_found(tmp_path: Path) -> None:
    case = written(build("gemm-transposed", 9, 13), tmp_path, "dense")
    flip(case[0], "fc.weight", 4 * int(np.argmin(case[2]["fc"])))
    assert "1 of 117 weights differ" in complaint(*case)


def edit(path: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())


def test_a_moved_sparse_index_is_found(tmp_path: Path) -> None:
    case = written(build("gemm", 9, 13), tmp_path, "sparse", density=0.2)

    def move(model: onnx.ModelProto) -> None:
        indices = model.graph.node[0].attribute[0].sparse_tensor.indices
        places = numpy_helper.to_array(indices).copy()
        places[-1] = places[-1] + 1 if places[-1] < 116 else places[-2] + 1
        indices.CopyFrom(numpy_helper.from_array(places, indices.name))

    edit(case[0], move)
    assert "2 of 117 weights differ" in complaint(*case)


def test_a_changed_bias_is_found(tmp_path: Path) -> None:
    case = written(build("gemm", 9, 13), tmp_path, "packed")
    flip(case[0], "b", 2)
    assert 'tensor "b" differs' in complaint(*case)


def test_a_changed_graph_is_found(tmp_path: Path) -> None:
    case = written(build("shared", 9, 13), tmp_path, "packed")
    edit(case[0], lambda model: model.graph.node.pop())
    assert "original nodes" in complaint(*case)


def test_a_changed_attribute_is_found(tmp_path: Path) -> None:
    case = written(build("gemm", 9, 9), tmp_path, "packed")
    node = next(n for n in onnx.load(case[0]).graph.node if n.op_type == "Gemm")

    def turn(model: onnx.ModelProto) -> None:
        found = next(n for n in model.graph.node if n.name == node.name)
        found.attribute[0].i = 1

    edit(case[0], turn)
    assert '"mm"' in complaint(*case)


def test_left_overs_are_found(tmp_path: Path) -> None:
    case = written(build("gemm", 9, 13), tmp_path, "packed")
    extra = numpy_helper.from_array(np.ones(3, np.float32), "extra")
    edit(case[0], lambda model: model.graph.initializer.append(extra))
    assert '"extra" is not in the source' in complaint(*case)


def test_a_decoder_that_computes_something_else_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_module, "run_apart", do)
    case = written(build("gemm", 9, 13), tmp_path, "packed")
    byte = int(OnnxFile(case[0]).initializers["fc.weight.bits"].read()[3])
    flip(case[0], "lottoc.table", 4 * 8 * byte, 1)
    message = complaint(*case)
    assert message.startswith(("output", "onnxruntime cannot run the file"))


def test_a_truncated_artefact_is_found(tmp_path: Path) -> None:
    case = written(build("gemm", 9, 13), tmp_path, "packed")
    case[0].write_bytes(case[0].read_bytes()[:-9])
    assert "not an ONNX model, or damaged" in complaint(*case)


def test_a_missing_layer_is_found(tmp_path: Path) -> None:
    toy = build("gemm", 9, 13)
    path, model, masks = written(toy, tmp_path, "packed")
    edit(path, lambda m: m.graph.ClearField("node"))
    assert "missing" in complaint(path, model, masks)


def test_a_file_the_checker_rejects_is_named(tmp_path: Path) -> None:
    path, model, masks = written(build("gemm", 9, 13), tmp_path, "packed")
    edit(path, lambda m: setattr(m.graph, "name", ""))
    assert "onnx.checker rejects the file" in complaint(path, model, masks)


@pytest.mark.usefixtures("in_process")
def test_a_weight_that_is_nan_is_never_passed_in_silence(tmp_path: Path) -> None:
    toy = build("gemm-transposed", 9, 13)
    weight = np.ones(toy.shape, np.float32)
    weight[2, 3] = np.nan
    model, masks = open_onnx(toy.save(tmp_path)), {"fc": np.ones(toy.shape, np.bool_)}
    emit(model, tmp_path / "out.onnx", masks, {"fc": weight})
    with pytest.raises(LottoError, match="NaN"):
        verify(tmp_path / "out.onnx", model, masks, {"fc": weight})


@pytest.mark.usefixtures("in_process")
def test_inputs_that_cannot_be_made_up_are_reported(tmp_path: Path) -> None:
    toy = build("matmul", 9, 13)
    graph = toy.proto.graph
    graph.input.append(helper.make_tensor_value_info("words", TensorProto.STRING, ["n"]))
    graph.node.append(helper.make_node("Identity", ["words"], ["same"], name="same"))
    graph.output.append(helper.make_tensor_value_info("same", TensorProto.STRING, ["n"]))
    report = verify(*written(toy, tmp_path, "packed"))
    assert report.trials == []
    assert 'input "words" is a tensor(string)' in report.not_run


def test_a_crash_of_the_runtime_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = tmp_path / "sitecustomize.py"
    crash.write_text("import os, sys\nif 'lottoc.backends.onnx.run' in sys.orig_argv: os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    answer = run_apart(Job("none.onnx", str(tmp_path), "out", "run"))
    assert answer.failed == "process"
    assert "-6" in answer.reason


def test_a_file_the_runtime_cannot_load_is_an_answer(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x08")
    answer = do(Job(str(tmp_path / "bad.onnx"), str(tmp_path), "out", "run"))
    assert answer == Answer("load", answer.reason, 0)
    assert answer.reason


class Info:
    def __init__(self, name: str, kind: str, shape: list[int | str | None]) -> None:
        self.name, self.type, self.shape = name, kind, shape


def test_made_up_inputs_follow_names_types_and_shapes() -> None:
    infos = [
        Info("input_ids", "tensor(int64)", ["batch", "sequence"]),
        Info("attention_mask", "tensor(int64)", ["batch", "past + sequence"]),
        Info("token_type_ids", "tensor(int64)", ["batch", "sequence"]),
        Info("past", "tensor(float16)", ["batch", 4, "past", 8]),
        Info("pixels", "tensor(float)", [None, 3, None, "w"]),
    ]
    made = make_inputs(infos, Setting(2, 8))
    assert {name: array.shape for name, array in made.items()} == {
        "input_ids": (2, 8),
        "attention_mask": (2, 16),
        "token_type_ids": (2, 8),
        "past": (2, 4, 8, 8),
        "pixels": (2, 3, 8, 8),
    }
    assert made["attention_mask"].all()
    assert not made["token_type_ids"].any()
    assert made["past"].dtype == np.float16
    assert 0 <= made["input_ids"].min() <= made["input_ids"].max() < 100
    with pytest.raises(CannotMakeUp, match='"s"'):
        make_inputs([Info("s", "seq(tensor(float))", [])], Setting(1, 1))
