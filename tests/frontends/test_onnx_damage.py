"""No file, however damaged, gives anything but a model or a coded error."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_toys import build, random_mask

from lottoc.backends.onnx import emit, inspect
from lottoc.backends.onnx.pieces import number, text
from lottoc.diagnostics import InputError
from lottoc.frontends.onnx_model import open_onnx

CODES = {"onnx-invalid", "onnx-external-data", "model-not-found"}


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as raised:
        open_onnx(path)
    diagnostic = raised.value.diagnostics[0]
    assert diagnostic.file is not None
    assert diagnostic.code in CODES
    return diagnostic.code


def test_files_that_are_no_model(tmp_path: Path) -> None:
    assert refusal(tmp_path / "missing.onnx") == "model-not-found"
    assert refusal(tmp_path) == "onnx-invalid"
    (tmp_path / "empty.onnx").touch()
    assert refusal(tmp_path / "empty.onnx") == "onnx-invalid"
    (tmp_path / "text.onnx").write_text("model bert { source = onnx }\n" * 50)
    assert refusal(tmp_path / "text.onnx") == "onnx-invalid"
    (tmp_path / "zip.onnx").write_bytes(b"PK\x03\x04" + bytes(200))
    assert refusal(tmp_path / "zip.onnx") == "onnx-invalid"
    os.mkfifo(tmp_path / "pipe.onnx")
    assert refusal(tmp_path / "pipe.onnx") == "onnx-invalid"
    assert refusal(Path("nul\0byte.onnx")) == "model-not-found"


def use_everything(path: Path, folder: Path) -> None:
    """Do all that a compile does with a model file."""
    model = open_onnx(path)
    masks = {layer.name: random_mask(layer.shape, 0.5) for layer in model.signature}
    for layer in model.signature:
        assert model.layer(layer.name).shape == layer.shape
    emit(model, folder / "out.onnx", masks)
    inspect(folder / "out.onnx")


def codes_of(path: Path, folder: Path) -> set[str]:
    """What is said of a file; nothing, if it is taken."""
    try:
        use_everything(path, folder)
    except InputError as error:
        return {d.code for d in error.diagnostics}
    return set()


KINDS = ("gemm", "constant", "conv2d", "shared", "external")


@given(st.sampled_from(KINDS), st.data())
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_damage_anywhere_is_a_coded_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    raw = bytearray(_bytes(kind, folder))
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 3))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "damaged.onnx"
    path.write_bytes(raw)
    assert codes_of(path, folder) <= CODES


def _bytes(kind: str, folder: Path) -> bytes:
    if kind != "external":
        return build(kind, 3, 4).proto.SerializeToString()
    path = folder / "external.onnx"
    proto = build("gemm", 3, 4).proto
    onnx.save(proto, path, save_as_external_data=True, location="m.bin", size_threshold=0)
    return path.read_bytes()


def external(folder: Path) -> onnx.ModelProto:
    path = folder / "model.onnx"
    proto = build("gemm", 8, 8).proto
    onnx.save(proto, path, save_as_external_data=True, location="m.bin", size_threshold=0)
    return onnx.load(path, load_external_data=False)


def with_entry(folder: Path, key: str, value: str) -> Path:
    proto = external(folder)
    entries = proto.graph.initializer[0].external_data
    for entry in entries:
        if entry.key == key:
            entry.value = value
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("location", "../m.bin"),
        ("location", "a/../../m.bin"),
        ("location", "..\\m.bin"),
        ("location", "/etc/passwd"),
        ("location", "C:\\m.bin"),
        ("location", "\0"),
        ("location", ""),
        ("location", "missing.bin"),
        ("location", "."),
        ("offset", "-4"),
        ("offset", "ten"),
        ("offset", str(1 << 70)),
        ("length", "-1"),
        ("length", "255"),
        ("length", str(1 << 62)),
    ],
)
def test_external_data_must_lie_in_the_folder_and_be_long_enough(
    key: str, value: str, tmp_path: Path
) -> None:
    assert refusal(with_entry(tmp_path, key, value)) == "onnx-external-data"


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = with_entry(folder, "location", "m.bin")
    (folder / "m.bin").rename(tmp_path / "elsewhere.bin")
    (folder / "m.bin").symlink_to(tmp_path / "elsewhere.bin")
    assert refusal(path) == "onnx-external-data"


def test_short_data_files_are_refused(tmp_path: Path) -> None:
    path = with_entry(tmp_path, "location", "m.bin")
    raw = (tmp_path / "m.bin").read_bytes()
    (tmp_path / "m.bin").write_bytes(raw[:100])
    assert refusal(path) == "onnx-external-data"


def test_a_weight_with_a_false_shape_is_refused(tmp_path: Path) -> None:
    toy = build("gemm", 8, 8)
    toy.proto.graph.initializer[0].dims[0] = 1 << 40
    assert refusal(toy.save(tmp_path)) == "onnx-invalid"


def test_deeply_nested_graphs_are_refused(tmp_path: Path) -> None:
    graph = text(2, "g")
    for _ in range(80):
        attribute = text(1, "body") + text(6, graph)
        graph = text(1, text(4, "Loop") + text(5, attribute)) + text(2, "g")
    (tmp_path / "deep.onnx").write_bytes(number(1, 8) + text(7, graph))
    assert refusal(tmp_path / "deep.onnx") == "onnx-invalid"
