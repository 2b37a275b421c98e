"""Narrower values come back as they were rounded, and nothing else in a model changes."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

sys.path.insert(0, str(Path(__file__).parents[2]))

from onnx_toys import CONV, LINEAR, Toy, build, random_mask, run

from lottoc.backends.onnx import emit, inspect, verify
from lottoc.backends.onnx.alone import check_alone
from lottoc.backends.onnx.stored import found_weights
from lottoc.backends.onnx.values import narrow, relative_error, rounded
from lottoc.frontends.onnx_file import OnnxFile
from lottoc.frontends.onnx_model import open_onnx
from lottoc.frontends.onnx_schema import DataType

Array = np.ndarray[Any, Any]
NARROW = ("float16", "bfloat16", "int8")
FLOATS = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
ELEMENTS = {np.dtype(np.float32): DataType.FLOAT, np.dtype(np.float64): DataType.DOUBLE}


pytestmark = pytest.mark.usefixtures("in_process")


def nearest_even(number: Fraction) -> int:
    """Python's own rounding of fractions is exact, with ties to even."""
    return round(number)


def by_hand(weight: Array, mask: Array) -> Array:
    """int8 and back in exact arithmetic, weight by weight; one rounding for each operation.

    Of float64 weights the quotient is one: two of them may round to a tie that is none.
    """
    result = np.zeros_like(weight)
    one = weight.dtype.type
    for row, kept, out in zip(weight, mask, result, strict=True):
        largest = max((abs(w) for w in row[kept].reshape(-1)), default=one(0))
        scale = one(largest / one(127)) or one(1)
        for at in np.argwhere(kept):
            exact = Fraction(float(row[tuple(at)])) / Fraction(float(scale))
            q = nearest_even(exact if one is np.float32 else Fraction(float(exact)))
            out[tuple(at)] = one(max(-127, min(127, q))) * scale
    return result


def expected(weight: Array, mask: Array, values: str) -> Array:
    if values == "int8":
        return by_hand(weight, mask)
    return np.where(mask, weight.astype(FLOATS[values]).astype(weight.dtype), weight.dtype.type(0))


@st.composite
def weights(draw: st.DrawFn) -> tuple[Array, Array]:
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=3, max_side=6))
    width = 32 if dtype is np.float32 else 64
    scale = draw(st.sampled_from([1.0, 1e-6, 1e30, 2.0**-149]))
    numbers = st.floats(-127, 127, width=width) | st.integers(-254, 254).map(lambda n: n / 2)
    weight = draw(hnp.arrays(dtype, shape, elements=numbers)) * dtype(scale)
    return weight.astype(dtype), draw(hnp.arrays(np.bool_, shape))


@given(weights())
@settings(max_examples=200, deadline=None)
def test_int8_is_what_exact_arithmetic_says(case: tuple[Array, Array]) -> None:
    weight, mask = case
    masked = np.where(mask, weight, weight.dtype.type(0))
    back = rounded(masked, ELEMENTS[weight.dtype], DataType.INT8)
    np.testing.assert_array_equal(back, by_hand(weight, mask))
    assert not back[~mask].any()


@given(weights())
@settings(max_examples=100, deadline=None)
def test_no_weight_is_off_by_more_than_half_a_scale(case: tuple[Array, Array]) -> None:
    weight, mask = case
    masked = np.where(mask, weight, weight.dtype.type(0))
    own = ELEMENTS[weight.dtype]
    stored = narrow(masked, own, DataType.INT8)
    assert stored.scales is not None
    limit = stored.scales.reshape(-1, *(1,) * (weight.ndim - 1)).astype(np.float64)
    off = np.abs(rounded(masked, own, DataType.INT8).astype(np.float64) - masked)
    # a scale among the last denormals is itself rounded, by up to half of the least there is
    slack = 127 * np.finfo(weight.dtype).smallest_subnormal.astype(np.float64) / 2
    assert (off <= limit * (0.5 + 1e-5) + slack).all()
    assert np.abs(stored.numbers.astype(int)).max(initial=0) <= 127


def test_the_relative_error_is_a_ratio_of_norms() -> None:
    weight, stored = np.array([[3.0, 0.0], [0.0, 4.0]]), np.array([[3.0, 0.0], [0.0, 4.5]])
    assert relative_error(weight, stored) == 0.1
    assert relative_error(np.zeros((2, 2)), np.zeros((2, 2))) == 0.0


def weight_of(path: Path, layer: str = "fc") -> Array:
    return open_onnx(path).layer(layer)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Toy, Array, str, str]:
    kind = draw(st.sampled_from(LINEAR + CONV))
    dtype = "float32" if kind in CONV else draw(st.sampled_from(["float32", "float64"]))
    rows, columns = draw(st.integers(1, 13)), draw(st.integers(1, 11))
    toy = build(kind, rows, columns, dtype=dtype, seed=draw(st.integers(0, 99)))
    mask = random_mask(toy.shape, draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])))
    format = draw(st.sampled_from(["packed", "auto"]))
    return toy, mask, format, draw(st.sampled_from(NARROW))


@given(cases())
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
def test_artefacts_compute_what_the_rounded_model_does(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[Toy, Array, str, str]
) -> None:
    toy, mask, format, values = case
    folder = tmp_path_factory.mktemp("case")
    model, path = open_onnx(toy.save(folder)), folder / "out.onnx"
    (report,) = emit(model, path, {toy.layer: mask}, format=format, values=values)
    onnx.checker.check_model(str(path), full_check=True)
    exact = model.layer(toy.layer)
    wanted = exact if report.values == toy_dtype(toy) else expected(exact, mask, values)
    proto = toy.masked(mask, wanted)
    np.testing.assert_array_equal(
        run(path, toy.inputs[0]), run(proto.SerializeToString(), toy.inputs[0])
    )
    actual = ReferenceEvaluator(onnx.load(path)).run(None, toy.inputs[0])[0]
    np.testing.assert_array_equal(actual, ReferenceEvaluator(proto).run(None, toy.inputs[0])[0])


def toy_dtype(toy: Toy) -> str:
    return str(toy.inputs[0]["x"].dtype)


@pytest.mark.parametrize("values", NARROW)
@pytest.mark.parametrize("kind", [*LINEAR, *CONV])
@pytest.mark.parametrize("density", [0.1, 0.98])
def test_what_is_written_is_verified_and_folded(
    kind: str, values: str, density: float, tmp_path: Path
) -> None:
    toy = build(kind, 64, 48)
    model, mask = open_onnx(toy.save(tmp_path)), random_mask(toy.shape, density)
    path = tmp_path / "out.onnx"
    format = "packed" if density < 0.5 else "auto"
    (report,) = emit(model, path, {toy.layer: mask}, format=format, values=values)
    assert report.format == ("packed" if density < 0.5 else "narrow")
    assert report.values == values
    exact = np.where(mask, model.layer(toy.layer), np.float32(0))
    wanted = expected(exact, mask, values)
    error = np.linalg.norm((wanted - exact).astype(float)) / np.linalg.norm(exact.astype(float))
    assert report.rounding == pytest.approx(error, rel=0.01)
    found = verify(path, model, {toy.layer: mask})
    assert (found.layers, found.max_error, len(found.trials)) == (1, 0.0, 2)
    assert check_alone(path).rounding == report.rounding
    (seen,) = inspect(path)
    assert (seen.values, seen.rounding, seen.format) == (values, report.rounding, report.format)
    assert {node.op_type for node in folded(path).graph.node} <= {
        *("MatMul", "Gemm", "Conv", "Tanh", "Add", "FusedConv", "FusedMatMul")
    }


def folded(path: Path) -> onnx.ModelProto:
    """What onnxruntime leaves of a model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path.with_name("optimized.onnx"))
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return onnx.load(options.optimized_model_filepath)


@pytest.mark.parametrize("values", NARROW)
def test_auto_takes_the_smallest_and_rounds_only_what_was_asked(
    values: str, tmp_path: Path
) -> None:
    toy = build("matmul", 256, 256)
    model = open_onnx(toy.save(tmp_path))
    for density in (0.02, 0.3, 0.6, 0.97, 1.0):
        mask = random_mask(toy.shape, density)
        (plain,) = emit(model, tmp_path / "plain.onnx", {"fc": mask})
        assert (plain.values, plain.rounding) == ("float32", 0.0)
        (packed,) = emit(model, tmp_path / "p.onnx", {"fc": mask}, format="packed", values=values)
        (auto,) = emit(model, tmp_path / "auto.onnx", {"fc": mask}, values=values)
        assert auto.nbytes <= min(plain.nbytes, packed.nbytes)
        masked = np.where(mask, model.layer("fc"), np.float32(0))
        wanted = masked if auto.values == "float32" else expected(masked, mask, values)
        np.testing.assert_array_equal(stored(tmp_path / "auto.onnx", "fc.weight").T, wanted)


def stored(path: Path, name: str) -> Array:
    return found_weights(OnnxFile(path))[name].value()


def test_a_model_too_small_for_the_table_is_narrow(tmp_path: Path) -> None:
    """The table that packed weights share has 8 KB: as long as they save less, none is packed."""
    toy = build("matmul", 64, 64)
    model = open_onnx(toy.save(tmp_path))
    (report,) = emit(model, tmp_path / "m.onnx", {"fc": random_mask(toy.shape, 0.4)}, values="int8")
    assert (report.format, report.values) == ("narrow", "int8")


def test_values_that_are_not_narrower_are_the_weights_own(tmp_path: Path) -> None:
    toy = build("gemm", 8, 12, dtype="float16")
    model, mask = open_onnx(toy.save(tmp_path)), random_mask(toy.shape, 0.5)
    for values, kept in (("bfloat16", "float16"), ("float32", "float16"), ("int8", "int8")):
        path = tmp_path / f"{values}.onnx"
        (report,) = emit(model, path, {"fc": mask}, format="packed", values=values)
        assert report.values == kept
        trials = verify(path, model, {"fc": mask}).trials
        assert max(trial.relative for trial in trials) < np.finfo(np.float16).eps


def test_float16_models_take_int8_by_way_of_float32(tmp_path: Path) -> None:
    toy = build("gemm", 8, 12, dtype="float16")
    model, mask = open_onnx(toy.save(tmp_path)), random_mask(toy.shape, 0.5)
    emit(model, tmp_path / "m.onnx", {"fc": mask}, format="packed", values="int8")
    masked = np.where(mask, model.layer("fc"), np.float16(0))
    wanted = by_hand(masked.astype(np.float32), mask).astype(np.float16)
    turned = stored(tmp_path / "m.onnx", "fc.weight")
    np.testing.assert_array_equal(turned if turned.shape == wanted.shape else turned.T, wanted)


def group_model(
    folder: Path, *, residual: bool = False, seed: int = 0
) -> tuple[Path, dict[str, Array]]:
    """Three layers in groups; if `residual`, most rows of a group keep a quarter of its columns."""
    rng = np.random.default_rng(seed)
    tensors, nodes, masks, x, columns = [], [], {}, "x", 192
    for number, rows in enumerate((256, 256, 128)):
        weight = rng.standard_normal((rows, columns)).astype(np.float32)
        bias = rng.standard_normal(rows).astype(np.float32)
        tensors += [numpy_helper.from_array(weight, f"fc{number}.weight")]
        tensors += [numpy_helper.from_array(bias, f"fc{number}.bias")]
        inputs = [x, f"fc{number}.weight", f"fc{number}.bias"]
        nodes.append(helper.make_node("Gemm", inputs, [f"h{number}"], f"g{number}", transB=1))
        nodes.append(helper.make_node("Relu", [f"h{number}"], [f"y{number}"], f"r{number}"))
        mask = masks[f"fc{number}"] = np.zeros((rows, columns), np.bool_)
        parts = zip(
            np.array_split(rng.permutation(rows), 4),
            np.array_split(rng.permutation(columns), 4),
            strict=True,
        )
        for group, read in parts:
            mask[group[:, None], read] = True
            if residual:
                mask[np.delete(group, slice(0, None, 4))[:, None], np.delete(read, 0)] = False
                mask[np.delete(group, slice(0, None, 4))[:, None], read[::4]] = True
        x, columns = f"y{number}", rows
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in (("x", 192), (x, columns))
    ]
    graph = helper.make_graph(nodes, "g", [ends[0]], [ends[1]], tensors)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(proto, folder / "dense.onnx")
    return folder / "dense.onnx", masks


@pytest.mark.parametrize("values", ["same", *NARROW])
@pytest.mark.parametrize("residual", [False, True])
def test_groups_take_narrower_values_and_pack_what_is_sparse_inside(
    values: str, residual: bool, tmp_path: Path
) -> None:
    source, masks = group_model(tmp_path, residual=residual)
    model, path = open_onnx(source), tmp_path / "m.onnx"
    reports = emit(model, path, masks, format="groups", values=values)
    assert {(r.format, r.values) for r in reports} == {
        ("groups", "float32" if values == "same" else values)
    }
    inner = {f.representation for n, f in found_weights(OnnxFile(path)).items() if "groups" in n}
    dense = "dense" if values == "same" else "narrow"
    assert ("packed" if residual else dense) in inner
    emit(model, tmp_path / "again.onnx", masks, format="groups", values=values)
    assert (tmp_path / "again.onnx").read_bytes() == path.read_bytes()
    found = verify(path, model, masks, format="groups")
    assert len(found.trials) == 2
    assert all(trial.relative < 1e-5 for trial in found.trials)
    rounded_to = {
        name: np.where(mask, model.layer(name), np.float32(0))
        if values == "same"
        else expected(model.layer(name), mask, values)
        for name, mask in masks.items()
    }
    proto = onnx.load(source)
    for tensor in proto.graph.initializer:
        layer = tensor.name.removesuffix(".weight")
        if layer in rounded_to:
            tensor.CopyFrom(numpy_helper.from_array(rounded_to[layer], tensor.name))
    feed = {"x": np.random.default_rng(1).standard_normal((5, 192)).astype(np.float32)}
    wanted = run(proto.SerializeToString(), feed)
    np.testing.assert_allclose(run(path, feed), wanted, atol=1e-5 * np.abs(wanted).max())
    assert {layer.values for layer in inspect(path)} == {"float32" if values == "same" else values}
    assert check_alone(path).layers == 3


@pytest.mark.parametrize("values", NARROW)
def test_dead_units_leave_before_values_are_rounded(values: str, tmp_path: Path) -> None:
    source, masks = group_model(tmp_path)
    masks["fc1"] = random_mask(masks["fc1"].shape, 0.1)
    masks["fc1"][:200] = False
    model, path = open_onnx(source), tmp_path / "m.onnx"
    reports = {r.name: r for r in emit(model, path, masks, values=values)}
    assert reports["fc1"].units[0] == 56
    trials = verify(path, model, masks).trials
    assert len(trials) == 2
    assert all(trial.relative < 1e-5 for trial in trials)
