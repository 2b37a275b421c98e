"""Narrower values that are damaged, or that a type, a format or an opset cannot hold."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from onnx_toys import build, random_mask

from lottoc.backends.onnx import emit, verify
from lottoc.backends.onnx.alone import check_alone
from lottoc.diagnostics import InputError, LottoError
from lottoc.frontends.onnx_file import OnnxFile
from lottoc.frontends.onnx_model import open_onnx

pytestmark = pytest.mark.usefixtures("in_process")

Array = np.ndarray[Any, Any]
NARROW = ("float16", "bfloat16", "int8")


def written(folder: Path, format: str, values: str, density: float) -> tuple[Any, ...]:
    model = open_onnx(build("gemm-transposed", 16, 24).save(folder))
    masks = {"fc": random_mask((16, 24), density)}
    emit(model, folder / "m.onnx", masks, format=format, values=values)
    return folder / "m.onnx", model, masks


def flip(path: Path, tensor: str, byte: int, bit: int) -> None:
    extent = OnnxFile(path).initializers[tensor].extent
    assert extent is not None
    raw = bytearray(path.read_bytes())
    raw[extent.offset + byte] ^= 1 << bit
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("format", "values", "tensor", "byte", "bit"),
    [
        ("packed", "int8", "fc.weight.values", 3, 0),
        ("packed", "int8", "fc.weight.scale", 4, 0),
        ("packed", "int8", "fc.weight.scale", 7, 7),
        ("packed", "bfloat16", "fc.weight.values", 6, 0),
        ("auto", "int8", "fc.weight.narrow", 9, 0),
        ("auto", "int8", "fc.weight.scale", 4, 3),
        ("auto", "int8", "fc.weight.narrow", 9, 7),
    ],
)
def test_damage_is_found(
    format: str, values: str, tensor: str, byte: int, bit: int, tmp_path: Path
) -> None:
    case = written(tmp_path, format, values, 0.4 if format == "packed" else 1.0)
    verify(*case, format=format)
    flip(case[0], tensor, byte, bit)
    with pytest.raises(LottoError, match="weights differ from mask times weight"):
        verify(*case, format=format)


def other_type(proto: onnx.ModelProto) -> None:
    for entry in proto.metadata_props:
        entry.value = entry.value.replace('"int8"', '"float16"')


def no_type(proto: onnx.ModelProto) -> None:
    for entry in proto.metadata_props:
        entry.value = entry.value.replace('"int8"', "8")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (other_type, "stored as packed int8, it was written as packed float16"),
        (no_type, "noted in the file is damaged"),
    ],
)
def test_a_file_against_its_notes_is_found(
    damage: Callable[[onnx.ModelProto], None], said: str, tmp_path: Path
) -> None:
    path = written(tmp_path, "packed", "int8", 0.4)[0]
    proto = onnx.load(path)
    damage(proto)
    onnx.save(proto, path)
    with pytest.raises(InputError, match=said):
        check_alone(path)


def refusal(
    folder: Path, weight: Array, values: str, opset: int = 20, format: str = "packed"
) -> str:
    toy = build("matmul", 4, 4, opset=opset)
    model = open_onnx(toy.save(folder))
    mask = np.ones((4, 4), np.bool_)
    with pytest.raises(InputError) as raised:
        emit(model, folder / "m.onnx", {"fc": mask}, {"fc": weight}, format=format, values=values)
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.help
    return f"{diagnostic.code}: {diagnostic.message}"


@pytest.mark.parametrize("bad", [np.nan, np.inf, np.finfo(np.float32).max])
def test_what_int8_cannot_hold_is_refused(bad: float, tmp_path: Path) -> None:
    weight = np.ones((4, 4), np.float32)
    weight[1, 2] = bad
    assert refusal(tmp_path, weight, "int8").startswith('onnx-range: layer "fc" has a weight of')


def test_what_float16_cannot_hold_bfloat16_can(tmp_path: Path) -> None:
    weight = np.full((4, 4), 7e4, np.float32)
    assert "too large for float16" in refusal(tmp_path, weight, "float16")
    weight[0, 0] = np.finfo(np.float32).max
    assert "too large for bfloat16" in refusal(tmp_path, weight, "bfloat16")
    model = open_onnx(build("matmul", 4, 4).save(tmp_path))
    weight[0, 0] = 7e4
    mask = {"fc": np.ones((4, 4), np.bool_)}
    emit(model, tmp_path / "m.onnx", mask, {"fc": weight}, format="packed", values="bfloat16")


def test_bfloat16_needs_opset_13(tmp_path: Path) -> None:
    weight = np.ones((4, 4), np.float32)
    said = refusal(tmp_path, weight, "bfloat16", opset=12)
    assert said.startswith("onnx-format")
    assert "bfloat16 values need opset 13, the model has 12" in said


@pytest.mark.parametrize("values", NARROW)
def test_formats_that_keep_their_type_refuse(values: str, tmp_path: Path) -> None:
    for format in ("dense", "sparse"):
        said = refusal(tmp_path, np.ones((4, 4), np.float32), values, format=format)
        assert "keep their own type" in said
