"""Data sets: what is believed, what is refused, and that nothing is ever unpickled."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lottoc.diagnostics import InputError
from lottoc.frontends.data import NpzSource, data_digest, npz_shape, open_npz

Y = np.array([0, 1, 2, 1])


def save(folder: Path, x: Any, y: Any = Y, *, compress: bool = False) -> NpzSource:
    (np.savez_compressed if compress else np.savez)(folder / "d.npz", x=x, y=y)
    return NpzSource(folder / "d.npz", "x", "y")


def refusal(source: NpzSource) -> str:
    with pytest.raises(InputError) as caught:
        open_npz(source)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.file == str(source.file)
    return diagnostic.code


@pytest.mark.parametrize("compress", [False, True])
def test_bytes_become_shares_of_one(tmp_path: Path, compress: bool) -> None:
    raw = np.array([[0, 255], [51, 102], [1, 2], [3, 4]], np.uint8)
    arrays = open_npz(save(tmp_path, raw, compress=compress))
    assert arrays.x.dtype == np.float32
    np.testing.assert_array_equal(arrays.x, raw.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(arrays.y, Y)
    assert arrays.y.dtype == np.int64


@pytest.mark.parametrize(
    ("stored", "read"),
    [("f8", "f4"), ("f2", "f4"), (">f4", "f4"), ("i2", "i8"), (">i4", "i8"), ("?", "i8")],
)
def test_other_numbers(tmp_path: Path, stored: str, read: str) -> None:
    values = np.arange(12).reshape(4, 3) % 2
    arrays = open_npz(save(tmp_path, values.astype(stored)))
    assert arrays.x.dtype == np.dtype(read)
    assert arrays.x.dtype.isnative
    np.testing.assert_array_equal(arrays.x, values)


def test_fortran_order(tmp_path: Path) -> None:
    values = np.asfortranarray(np.random.default_rng(0).random((4, 5, 3)), dtype=np.float32)
    arrays = open_npz(save(tmp_path, values))
    np.testing.assert_array_equal(arrays.x, values)
    assert arrays.x.flags.c_contiguous


@pytest.mark.parametrize(
    ("x", "y", "code"),
    [
        (np.zeros((3, 2)), Y, "data-length"),
        (np.float32(1), Y, "data-length"),
        (np.zeros((0, 2)), Y[:0], "data-empty"),
        (np.zeros((4, 0)), Y, "data-empty"),
        (np.array(["a", "b", "c", "d"]), Y, "data-type"),
        (np.zeros((4, 2), np.complex64), Y, "data-type"),
        (np.full((4, 1), 1 << 63, np.uint64), Y, "data-type"),
        (np.array([[1.0], [np.nan], [0], [0]]), Y, "data-not-finite"),
        (np.full((4, 1), 1e300), Y, "data-not-finite"),
        (np.zeros((4, 2)), np.eye(4), "data-labels"),
        (np.zeros((4, 2)), Y.astype(float), "data-labels"),
        (np.zeros((4, 2)), Y - 1, "data-labels"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, x: Any, y: Any, code: str) -> None:
    assert refusal(save(tmp_path, x, y)) == code


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self.path, "w"))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    evil = np.array([Bomb(tmp_path / "harm"), None], dtype=object)
    np.savez(tmp_path / "d.npz", x=evil, y=np.array([0, 1]))
    assert refusal(NpzSource(tmp_path / "d.npz", "x", "y")) == "npz-object-array"
    assert not (tmp_path / "harm").exists()
    with zipfile.ZipFile(tmp_path / "p.npz", "w") as archive:
        archive.writestr("x.npy", pickle.dumps(Bomb(tmp_path / "harm")))
    assert refusal(NpzSource(tmp_path / "p.npz", "x", "y")) == "npz-invalid"
    assert not (tmp_path / "harm").exists()


def test_names_and_files_that_are_not_there(tmp_path: Path) -> None:
    source = save(tmp_path, np.zeros((4, 2)))
    with pytest.raises(InputError) as caught:
        open_npz(NpzSource(source.file, "xx", "y"))
    assert caught.value.diagnostics[0].code == "npz-key"
    assert any('"x"' in line or "x, y" in line for line in caught.value.diagnostics[0].help)
    assert refusal(NpzSource(tmp_path / "none.npz", "x", "y")) == "data-not-found"
    assert refusal(NpzSource(tmp_path, "x", "y")) == "data-not-found"
    (tmp_path / "text.npz").write_text("not a zip file")
    assert refusal(NpzSource(tmp_path / "text.npz", "x", "y")) == "npz-invalid"


@given(data=st.data(), compress=st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_damage_anywhere_is_a_coded_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, compress: bool
) -> None:
    folder = tmp_path_factory.mktemp("npz")
    source = save(folder, np.arange(12.0).reshape(4, 3), compress=compress)
    raw = bytearray(source.file.read_bytes())
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
    else:
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    source.file.write_bytes(raw)
    for read in (open_npz, npz_shape):
        try:
            read(source)
        except InputError:
            continue


def test_the_shape_comes_from_the_header_alone(tmp_path: Path) -> None:
    source = save(tmp_path, np.zeros((400, 3000), np.float32), np.zeros(400, np.int64))
    raw = bytearray(source.file.read_bytes())
    raw[2_000_000] ^= 1  # in the numbers, whose checksum is not read
    source.file.write_bytes(raw)
    assert npz_shape(source) == ((400, 3000), np.dtype("float32"))
    assert refusal(source) == "npz-invalid"


def test_the_digest_depends_on_bytes_and_names(tmp_path: Path) -> None:
    source = save(tmp_path, np.zeros((4, 3)))
    first = data_digest(source)
    assert first == data_digest(source)
    assert first != data_digest(NpzSource(source.file, "y", "x"))
    save(tmp_path, np.ones((4, 3)))
    assert first != data_digest(source)
