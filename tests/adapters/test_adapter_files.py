"""Adapter files: equal bytes, what any reader of safetensors finds, damage said by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from lottoc.adapters.applied import plan
from lottoc.adapters.change import change
from lottoc.adapters.file import Adapter, load, save
from lottoc.diagnostics import InputError
from lottoc.frontends.tensor_file import Described, TensorFile, write_tensors
from lottoc.masks.mask import Mask

STREAM = np.random.default_rng(0)
KEPT = np.array([[1, 0, 0, 1, 0], [0, 0, 1, 0, 1]], bool)
BASE = STREAM.normal(size=(2, 5)).astype(np.float32)
TUNED = np.where(KEPT, BASE + 1, BASE)


def adapter() -> Adapter:
    mask = Mask.from_bool(KEPT)
    half = change(BASE.astype(np.float16), TUNED.astype(np.float16), mask)
    return Adapter("task", {"fc.weight": change(BASE, TUNED, mask), "in.head.weight": half})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", adapter())
    save(tmp_path / "b.safetensors", adapter())
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    read = load(tmp_path / "a.safetensors")
    assert (read.ticket, read.moved) == ("task", 8)
    for name, found in adapter().changes.items():
        assert read.changes[name].mask == found.mask
        assert read.changes[name].values.tolist() == found.values.tolist()
        assert (read.changes[name].before, read.changes[name].after) == (found.before, found.after)


def test_the_format_by_other_means(tmp_path: Path) -> None:
    """What docs/lota.md says, read by the safetensors library and numpy alone."""
    save(tmp_path / "a.safetensors", adapter())
    with safe_open(tmp_path / "a.safetensors", framework="np") as file:
        kept = np.unpackbits(file.get_tensor("mask/fc.weight"), count=10).astype(bool)
        bits = BASE.copy().reshape(-1).view(np.int32)
        bits[kept] ^= file.get_tensor("values/fc.weight")
        assert file.metadata()["format"] == "lottoc adapter"
    assert bits.view(np.float32).reshape(2, 5).tobytes() == TUNED.tobytes()


def rewritten(path: Path, changed, metadata) -> None:
    """The same file with other tensors or metadata."""
    file = TensorFile(path)
    arrays = {name: changed(name, file.get(name).copy()) for name in file.tensors}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    described = [(name, Described(a.dtype.name, a.shape)) for name, a in arrays.items()]
    told = metadata(dict(file.metadata))
    write_tensors(path, described, lambda name: arrays[name], told)


def same(name: str, array: np.ndarray) -> np.ndarray:
    return array


DAMAGE = {
    "an odd format": (same, lambda m: m | {"format": "pt"}, "not written by"),
    "a later version": (same, lambda m: m | {"version": "2"}, "version 2, not 1"),
    "no list of tensors": (same, lambda m: {k: v for k, v in m.items() if k != "tensors"}, "fit"),
    "a list that is no JSON": (same, lambda m: m | {"tensors": "{"}, "fit"),
    "a list of lists": (same, lambda m: m | {"tensors": "[1]"}, "fit"),
    "an odd type": (
        same,
        lambda m: m | {"tensors": m["tensors"].replace("float32", "int8")},
        "fit",
    ),
    "a larger shape": (
        same,
        lambda m: m | {"tensors": m["tensors"].replace("[2,5]", "[9,5]")},
        "fit",
    ),
    "a negative shape": (
        same,
        lambda m: m | {"tensors": m["tensors"].replace("[2,5]", "[-2,-5]")},
        "fit",
    ),
    "a missing mask": (lambda n, a: None if n == "mask/fc.weight" else a, dict, "fit"),
    "a value too few": (lambda n, a: a[:-1] if n == "values/fc.weight" else a, dict, "fit"),
    "a bit too many": (lambda n, a: a | 1 if n == "mask/fc.weight" else a, dict, "fit"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_said(case: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save(path, adapter())
    changed, metadata, said = DAMAGE[case]
    rewritten(path, changed, metadata)
    with pytest.raises(InputError, match="adapter-invalid") as error:
        load(path)
    assert said in error.value.diagnostics[0].message


def test_another_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="adapter-invalid"):
        load(path)
    with pytest.raises(InputError, match="model-not-found"):
        load(tmp_path / "b.safetensors")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["fc.weight", "in.head.weight"], ["fc.weight", "in.head.weight"]),
        (["net.fc.weight", "net.in.head.weight"], ["net.fc.weight", "net.in.head.weight"]),
        (["fc.weight", "head.weight"], ["fc.weight", "head.weight"]),
        (["fc.weight", "x.fc.weight", "head.weight", "weight"], ["fc.weight", "head.weight"]),
    ],
)
def test_tensors_are_found_by_how_their_names_end(
    names: list[str], found: list[str], tmp_path: Path
) -> None:
    save(tmp_path / "a.safetensors", adapter())
    assert sorted(plan([tmp_path / "a.safetensors"], names).steps) == found


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["fc.weight"], '"in.head.weight" is not in the base: there is none'),
        (["a.fc.weight", "b.fc.weight", "head.weight"], "a.fc.weight or b.fc.weight"),
        (["xfc.weight", "head.weight"], '"fc.weight" is not in the base'),
    ],
)
def test_tensors_that_are_not_found(names: list[str], said: str, tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", adapter())
    with pytest.raises(InputError, match="adapter-mismatch") as error:
        plan([tmp_path / "a.safetensors"], names)
    assert said in error.value.diagnostics[0].message


def test_digests_are_of_the_weights_that_moved() -> None:
    """What docs/lota.md says of `before` and `after`."""
    import hashlib

    found = adapter().changes["fc.weight"]
    assert found.before == hashlib.sha256(BASE[KEPT].tobytes()).hexdigest()
    assert found.after == hashlib.sha256(TUNED[KEPT].tobytes()).hexdigest()
