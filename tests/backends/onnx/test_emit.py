"""What is written is what was asked for, by onnx, onnxruntime and the reference evaluator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_toys import CONV, LINEAR, Toy, build, random_mask, run

from lottoc.backends.onnx import emit as emit_module_function
from lottoc.backends.onnx import inspect, rewrite
from lottoc.diagnostics import InputError
from lottoc.frontends.onnx_model import open_onnx

emit = emit_module_function
FORMATS = ("dense", "sparse", "packed", "auto")


def write(toy: Toy, mask: np.ndarray, folder: Path, format: str, **options: str) -> Path:
    output = folder / f"out-{format}.onnx"
    emit(open_onnx(toy.save(folder)), output, {toy.layer: mask}, format=format, **options)
    return output


@st.composite
def cases(draw: st.DrawFn) -> tuple[Toy, np.ndarray, str]:
    kind = draw(st.sampled_from(LINEAR + CONV))
    dtype = "float32" if kind in CONV else draw(st.sampled_from(["float32", "float16", "float64"]))
    rows, columns = draw(st.integers(1, 13)), draw(st.integers(1, 11))
    toy = build(kind, rows, columns, dtype=dtype, seed=draw(st.integers(0, 99)))
    density = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    return toy, random_mask(toy.shape, density), draw(st.sampled_from(FORMATS))


@given(cases())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_artefact_computes_what_the_masked_dense_model_does(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[Toy, np.ndarray, str]
) -> None:
    toy, mask, format = case
    output = write(toy, mask, tmp_path_factory.mktemp("case"), format)
    onnx.checker.check_model(str(output))
    expected = run(toy.masked(mask).SerializeToString(), toy.inputs[0])
    np.testing.assert_array_equal(run(output, toy.inputs[0]), expected)


@given(cases())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_packed_is_plain_onnx_for_every_tool(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[Toy, np.ndarray, str]
) -> None:
    toy, mask, _ = case
    output = write(toy, mask, tmp_path_factory.mktemp("case"), "packed")
    onnx.checker.check_model(str(output), full_check=True)
    model = onnx.load(output)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    expected = ReferenceEvaluator(toy.masked(mask)).run(None, toy.inputs[0])[0]
    actual = ReferenceEvaluator(model).run(None, toy.inputs[0])[0]
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("kind", [*LINEAR, *CONV])
def test_onnxruntime_folds_the_decoder_away(kind: str, tmp_path: Path) -> None:
    toy = build(kind, 9, 7)
    output = write(toy, random_mask(toy.shape, 0.4), tmp_path, "packed")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(str(output), options, providers=["CPUExecutionProvider"])
    optimized = onnx.load(options.optimized_model_filepath)
    left = {node.op_type for node in optimized.graph.node}
    assert left <= {"MatMul", "Gemm", "Conv", "Tanh", "Add", "FusedConv", "FusedMatMul"}
    assert "lottoc.table" not in {item.name for item in optimized.graph.initializer}


@pytest.mark.parametrize("format", FORMATS)
def test_pruned_weights_are_positive_zero_and_kept_ones_exact(format: str, tmp_path: Path) -> None:
    toy = build("matmul", 16, 40)
    weight = -np.abs(np.random.default_rng(3).standard_normal(toy.shape)).astype(np.float32)
    mask = random_mask(toy.shape, 0.3)
    weight[0, 0], mask[0, 0] = -0.0, True
    weight[0, 1], mask[0, 1] = 0.0, True
    weight[0, 2], mask[0, 2] = np.float32(1e-42), True
    output = tmp_path / "out.onnx"
    emit(open_onnx(toy.save(tmp_path)), output, {"fc": mask}, {"fc": weight}, format=format)
    read = rebuilt(output, "fc.weight").T
    expected = np.where(mask, weight, np.float32(0))
    assert (read.view(np.uint32) == expected.view(np.uint32)).all()


def rebuilt(path: Path, name: str) -> np.ndarray:
    """A weight as onnxruntime sees it, taken out as an extra output."""
    model = onnx.load(path)
    model.graph.node.append(helper.make_node("Identity", [name], ["seen"]))
    model.graph.output.insert(0, helper.make_tensor_value_info("seen", TensorProto.FLOAT, None))
    width = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    return run(model.SerializeToString(), {"x": np.zeros((1, width), np.float32)})


@pytest.mark.parametrize(("density", "limit"), [(0.5, 0.6), (0.1, 0.16)])
def test_packed_is_small(density: float, limit: float, tmp_path: Path) -> None:
    toy = build("matmul", 256, 512)
    mask = np.zeros(toy.shape, np.bool_)
    mask.reshape(-1)[: int(mask.size * density)] = True
    output = write(toy, mask, tmp_path, "auto")
    assert output.stat().st_size <= limit * mask.size * 4


def test_auto_takes_the_smaller_form_and_never_a_larger_one(tmp_path: Path) -> None:
    toy = build("matmul", 64, 64)
    for density in (0.02, 0.3, 0.9, 0.97, 1.0):
        mask = random_mask(toy.shape, density)
        sizes = {f: write(toy, mask, tmp_path, f).stat().st_size for f in FORMATS}
        assert sizes["auto"] <= min(sizes["dense"], sizes["packed"])


def test_nothing_of_the_dense_weight_is_left(tmp_path: Path) -> None:
    for kind in ("matmul", "constant"):
        toy = build(kind, 64, 64)
        mask = random_mask(toy.shape, 0.1)
        raw = write(toy, mask, tmp_path, "packed").read_bytes()
        weight = open_onnx(tmp_path / "model.onnx").layer("fc").T
        pruned = weight[~mask.T]
        found = sum(value.tobytes() in raw for value in pruned[:200])
        assert found == 0


@pytest.mark.parametrize("format", FORMATS)
def test_equal_inputs_give_equal_bytes(format: str, tmp_path: Path) -> None:
    toy = build("shared", 20, 12)
    mask = random_mask(toy.shape, 0.5)
    first = write(toy, mask, tmp_path, format).read_bytes()
    assert write(toy, mask, tmp_path, format).read_bytes() == first


def test_masks_and_weights_may_be_functions(tmp_path: Path) -> None:
    toy = build("gemm", 8, 12)
    mask, weight = random_mask(toy.shape, 0.5), np.ones(toy.shape, np.float32)
    model = open_onnx(toy.save(tmp_path))
    emit(model, tmp_path / "a.onnx", {"fc": mask}, {"fc": weight})
    emit(model, tmp_path / "b.onnx", {"fc": mask}.get, {"fc": weight}.get)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_a_layer_without_a_mask_gets_its_new_weight_or_stays(tmp_path: Path) -> None:
    toy = build("matmul", 8, 12)
    model = open_onnx(toy.save(tmp_path))
    weight = np.arange(96, dtype=np.float32).reshape(toy.shape)
    assert emit(model, tmp_path / "new.onnx", {}, {"fc": weight}) == []
    expected = run(
        toy.masked(np.ones(toy.shape, np.bool_), weight).SerializeToString(), toy.inputs[0]
    )
    np.testing.assert_array_equal(run(tmp_path / "new.onnx", toy.inputs[0]), expected)
    emit(model, tmp_path / "same.onnx", {})
    np.testing.assert_array_equal(
        run(tmp_path / "same.onnx", toy.inputs[0]),
        run(toy.proto.SerializeToString(), toy.inputs[0]),
    )


def test_values_may_be_stored_in_half(tmp_path: Path) -> None:
    toy = build("matmul", 64, 64)
    mask = random_mask(toy.shape, 0.5)
    whole = write(toy, mask, tmp_path, "packed").stat().st_size
    half = write(toy, mask, tmp_path, "packed", values="float16")
    assert whole - half.stat().st_size > 2 * mask.sum() - 200
    weight = open_onnx(tmp_path / "model.onnx").layer("fc").astype(np.float16).astype(np.float32)
    expected = run(toy.masked(mask, weight).SerializeToString(), toy.inputs[0])
    np.testing.assert_array_equal(run(half, toy.inputs[0]), expected)


def refusal(toy: Toy, folder: Path, **options: str) -> tuple[str, str]:
    with pytest.raises(InputError) as raised:
        write(toy, random_mask(toy.shape, 0.5), folder, options.pop("format", "packed"), **options)
    diagnostic = raised.value.diagnostics[0]
    assert diagnostic.help
    return diagnostic.code, diagnostic.message


def test_half_precision_that_would_overflow_is_refused(tmp_path: Path) -> None:
    toy = build("matmul", 4, 4)
    toy.proto.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(np.full((4, 4), 7e4, np.float32), "fc.weight")
    )
    code, message = refusal(toy, tmp_path, values="float16")
    assert code == "onnx-range"
    assert '"fc"' in message
    assert "70000" in message


def test_unknown_formats_and_types_are_refused(tmp_path: Path) -> None:
    toy = build("matmul", 4, 4)
    assert refusal(toy, tmp_path, format="pakced")[0] == "onnx-format"
    assert refusal(toy, tmp_path, values="float8")[0] == "onnx-format"
    assert refusal(toy, tmp_path, format="dense", values="float16")[0] == "onnx-format"


def test_an_old_opset_falls_back_to_dense_or_says_why(tmp_path: Path) -> None:
    toy = build("matmul", 64, 64, opset=10, ir_version=5)
    code, message = refusal(toy, tmp_path, format="packed")
    assert code == "onnx-format"
    assert "opset 11" in message
    model = open_onnx(tmp_path / "model.onnx")
    reports = emit(model, tmp_path / "auto.onnx", {"fc": random_mask(toy.shape, 0.1)})
    assert [report.format for report in reports] == ["dense"]


@pytest.mark.parametrize("ir_version", [3, 8])
@pytest.mark.parametrize("format", FORMATS)
def test_weights_listed_as_inputs_become_constants(
    format: str, ir_version: int, tmp_path: Path
) -> None:
    toy = build("gemm", 9, 16, opset=11, ir_version=ir_version)
    for tensor in toy.proto.graph.initializer:
        info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        toy.proto.graph.input.append(info)
    mask = random_mask(toy.shape, 0.5)
    output = write(toy, mask, tmp_path, format)
    onnx.checker.check_model(str(output))
    names = [item.name for item in onnx.load(output).graph.input]
    assert names == (["x"] if ir_version == 3 else ["x", "b"])
    expected = run(toy.masked(mask).SerializeToString(), toy.inputs[0])
    np.testing.assert_array_equal(run(output, toy.inputs[0]), expected)


@pytest.mark.parametrize("format", FORMATS)
def test_bodies_of_if_see_the_pruned_weight(format: str, tmp_path: Path) -> None:
    toy = build("matmul", 9, 16)
    graph = toy.proto.graph
    y = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    then = helper.make_node("MatMul", ["x", "fc.weight"], ["z"], name="inner")
    other = helper.make_node("Neg", ["y"], ["z2"], name="neg")
    z2 = helper.make_tensor_value_info("z2", TensorProto.FLOAT, None)
    flag = helper.make_tensor_value_info("flag", TensorProto.BOOL, [])
    graph.input.append(flag)
    branch = helper.make_node(
        "If",
        ["flag"],
        ["chosen"],
        name="if",
        then_branch=helper.make_graph([then], "then", [], [y]),
        else_branch=helper.make_graph([other], "else", [], [z2]),
    )
    graph.node.append(branch)
    graph.output.insert(0, helper.make_tensor_value_info("chosen", TensorProto.FLOAT, None))
    mask = random_mask(toy.shape, 0.5)
    output = write(toy, mask, tmp_path, format)
    for choice in (True, False):
        feed = {**toy.inputs[0], "flag": np.array(choice)}
        expected = run(toy.masked(mask).SerializeToString(), feed)
        np.testing.assert_array_equal(run(output, feed), expected)


def test_a_tied_embedding_is_pruned_in_both_places(tmp_path: Path) -> None:
    toy = build("turned", 12, 8)
    graph = toy.proto.graph
    graph.input.append(helper.make_tensor_value_info("ids", TensorProto.INT64, [2]))
    graph.node.append(helper.make_node("Gather", ["fc.weight", "ids"], ["e"], name="embed"))
    graph.output.insert(0, helper.make_tensor_value_info("e", TensorProto.FLOAT, None))
    mask = random_mask(toy.shape, 0.5)
    output = write(toy, mask, tmp_path, "packed")
    assert open_onnx(tmp_path / "model.onnx").shared == {"fc": ("embed",)}
    feed = {**toy.inputs[0], "ids": np.array([3, 11])}
    expected = run(toy.masked(mask).SerializeToString(), feed)
    np.testing.assert_array_equal(run(output, feed), expected)


def test_notes_of_the_exporter_are_dropped_but_module_names_stay(tmp_path: Path) -> None:
    toy = build("matmul", 4, 4)
    node = toy.proto.graph.node[0]
    node.doc_string = 'File "/home/me/secret.py", line 3'
    notes = {"pkg.torch.onnx.stack_trace": "/home/me/x.py", "pkg.torch.onnx.name_scopes": "['fc']"}
    helper.set_model_props(toy.proto, {"author": "me", "lottoc": "old"})
    for key, value in notes.items():
        node.metadata_props.add(key=key, value=value)
    raw = write(toy, random_mask(toy.shape, 0.5), tmp_path, "dense").read_bytes()
    assert b"/home/me" not in raw
    assert b"name_scopes" in raw
    props = {p.key: p.value for p in onnx.load_from_string(raw).metadata_props}
    assert props["author"] == "me"
    assert '"fc":["dense",' in props["lottoc"]


def with_external_data(toy: Toy, folder: Path) -> Path:
    path = folder / "model.onnx"
    onnx.save(toy.proto, path, save_as_external_data=True, location="model.bin", size_threshold=0)
    return path


@pytest.mark.parametrize("format", FORMATS)
def test_external_data_is_taken_into_the_file(format: str, tmp_path: Path) -> None:
    toy = build("gemm", 40, 24)
    mask = random_mask(toy.shape, 0.5)
    expected = run(toy.masked(mask).SerializeToString(), toy.inputs[0])
    source = with_external_data(toy, tmp_path)
    (tmp_path / "out").mkdir()
    output = tmp_path / "out" / "small.onnx"
    emit(open_onnx(source), output, {"fc": mask}, format=format)
    assert [path.name for path in output.parent.iterdir()] == ["small.onnx"]
    np.testing.assert_array_equal(run(output, toy.inputs[0]), expected)


@pytest.mark.parametrize("format", ["dense", "packed"])
def test_a_model_too_large_for_one_file_is_split(
    format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    monkeypatch.setattr(importlib.import_module("lottoc.backends.onnx.emit"), "MAX_FILE", 4000)
    toy = build("gemm", 64, 64)
    mask = random_mask(toy.shape, 0.5)
    output = write(toy, mask, tmp_path, format)
    data = tmp_path / f"{output.name}.data"
    assert output.stat().st_size <= 4000 < data.stat().st_size
    onnx.checker.check_model(str(output))
    expected = run(toy.masked(mask).SerializeToString(), toy.inputs[0])
    np.testing.assert_array_equal(run(output, toy.inputs[0]), expected)


def test_sparse_tensors_that_cannot_be_split_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    monkeypatch.setattr(importlib.import_module("lottoc.backends.onnx.emit"), "MAX_FILE", 4000)
    assert refusal(build("gemm", 64, 64), tmp_path, format="sparse")[0] == "onnx-too-large"


def test_writing_over_the_source_is_a_mistake(tmp_path: Path) -> None:
    toy = build("matmul", 4, 4)
    path = toy.save(tmp_path)
    with pytest.raises(ValueError, match="is read"):
        emit(open_onnx(path), path, {})


def test_a_name_that_is_taken_keeps_the_layer_dense(tmp_path: Path) -> None:
    toy = build("matmul", 64, 64)
    toy.proto.graph.initializer.append(numpy_helper.from_array(np.zeros(3), "fc.weight.bits"))
    code, message = refusal(toy, tmp_path, format="packed")
    assert code == "onnx-format"
    assert "fc.weight.bits" in message


def test_inspect_reads_artefacts_and_other_models(tmp_path: Path) -> None:
    toy = build("matmul", 8, 12)
    mask = np.zeros(toy.shape, np.bool_)
    mask.reshape(8, 3, 4)[:, :, 1:3] = True
    plain = inspect(toy.save(tmp_path))[0]
    assert (plain.format, plain.nonzeros, plain.pattern) == ("dense", 96, "dense")
    for format in ("dense", "sparse", "packed"):
        seen = inspect(write(toy, mask, tmp_path, format))[0]
        assert (seen.layer.name, seen.layer.shape) == ("fc", (8, 12))
        assert (seen.format, seen.nonzeros, seen.pattern) == (format, 48, "2:4")
    mask[0, 0] = True
    assert inspect(write(toy, mask, tmp_path, "packed"))[0].pattern == "3:4"


def test_a_kept_note_is_spelled_as_torch_spells_it() -> None:
    assert {"pkg.torch.onnx.name_scopes"} == rewrite.KEPT_NOTES
