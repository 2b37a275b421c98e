"""Masks with two of every four kept take 0.67 bits a weight, and come back bit by bit."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

sys.path.insert(0, str(Path(__file__).parents[2]))

from onnx_toys import build

from lottoc.backends.onnx import emit, two_of_four, verify
from lottoc.backends.onnx.stored import found_weights
from lottoc.diagnostics import LottoError
from lottoc.frontends.onnx_file import OnnxFile
from lottoc.frontends.onnx_model import open_onnx


def random_mask(rng: np.random.Generator, pre: int, post: int) -> np.ndarray:
    order = np.argsort(rng.random((pre, 4, post)), axis=1)
    return (order < 2).reshape(-1)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 999))
@settings(max_examples=200)
def test_codes_are_the_mask_again(pre: int, post: int, seed: int) -> None:
    mask = random_mask(np.random.default_rng(seed), pre, post)
    codes = two_of_four.encode(mask, (pre, post))
    assert codes.size == -(-pre * post // 3)
    np.testing.assert_array_equal(two_of_four.decode(codes, (pre, post)), mask)


def test_the_table_holds_every_mask_once() -> None:
    table = two_of_four.table()
    assert (table.reshape(216, 3, 4).sum(axis=2) == 2).all()
    assert len(np.unique(table, axis=0)) == 216


@pytest.mark.parametrize("codes", [np.array([216], np.uint8), np.zeros(2, np.uint8)])
def test_codes_of_no_mask_are_refused(codes: np.ndarray) -> None:
    with pytest.raises(ValueError, match="codes for 12 weights"):
        two_of_four.decode(codes, (3, 1))


@given(st.integers(0, 999), st.floats(0.3, 0.7))
@settings(max_examples=100)
def test_only_what_is_two_of_four_along_an_axis_is_coded(seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    dims = tuple(int(n) for n in rng.choice([3, 4, 8], 2))
    mask = rng.random(dims) < density
    wanted = any(
        dims[axis] % 4 == 0 and (np.moveaxis(mask, axis, -1).reshape(-1, 4).sum(axis=1) == 2).all()
        for axis in (0, 1)
    )
    assert (two_of_four.grid_of(mask.reshape(-1), dims) is not None) == wanted


@pytest.mark.parametrize("kind", ["gemm", "gemm-transposed", "conv2d"])
@pytest.mark.parametrize(("rows", "columns"), [(256, 128), (20, 44), (7, 4)])
@pytest.mark.parametrize("values", ["same", "float16"])
def test_artefacts_hold_the_masked_weights(
    tmp_path: Path, kind: str, rows: int, columns: int, values: str
) -> None:
    toy = build(kind, rows, columns)
    model = open_onnx(toy.save(tmp_path, "dense.onnx"))
    (layer,) = model.signature
    rng, shape = np.random.default_rng(rows), layer.shape
    order = np.argsort(rng.random((shape[0], shape[1] // 4, 4, *shape[2:])), axis=2)
    mask = (order < 2).reshape(shape)
    path = tmp_path / "m.onnx"
    emit(model, path, {layer.name: mask}, format="packed", values=values)
    (found,) = [f for f in found_weights(OnnxFile(path)).values() if f.representation == "packed"]
    assert found.kept == mask.sum()
    tolerance = 1e-5 if values == "same" else 1e-2
    verify(path, model, {layer.name: mask}, format="packed", tolerance=tolerance)
    if (rows, columns) == (256, 128):
        kept, bits = mask.sum() * (4 if values == "same" else 2), mask.size * 2 / 3 / 8
        assert found.nbytes <= kept + bits + 64
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    feed = {}
    for item in session.get_inputs():
        dims = [n if isinstance(n, int) else 1 for n in item.shape]
        feed[item.name] = rng.standard_normal(dims).astype(np.float32)
    given, wanted = session.run(None, feed), ReferenceEvaluator(proto).run(None, feed)
    np.testing.assert_allclose(given[0], wanted[0], rtol=1e-4, atol=1e-4)


def test_damaged_codes_are_noticed(tmp_path: Path) -> None:
    model = open_onnx(build("matmul", 16, 24).save(tmp_path, "dense.onnx"))
    (layer,) = model.signature
    mask = np.tile(np.array([True, False, False, True]), (16, 6))
    emit(model, tmp_path / "m.onnx", {layer.name: mask}, format="packed")
    proto = onnx.load(tmp_path / "m.onnx")
    for tensor in proto.graph.initializer:
        if tensor.name.endswith(".codes"):
            codes = onnx.numpy_helper.to_array(tensor).copy()
            codes[3] = 255
            tensor.CopyFrom(onnx.numpy_helper.from_array(codes, tensor.name))
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(LottoError, match="verify-failed"):
        verify(tmp_path / "m.onnx", model, {layer.name: mask}, format="packed")
