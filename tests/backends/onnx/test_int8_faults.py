"""Int8 files with faults in them are found, and what cannot be in int8 is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "structure"))

from int8_networks import activations, chain, grouped, seen, written

from lottoc.backends.onnx import emit, inspect, integers, verify
from lottoc.backends.onnx.alone import check_alone
from lottoc.backends.onnx.integers import find_wrong
from lottoc.diagnostics import InputError, LottoError
from lottoc.frontends.onnx_model import open_onnx

Array = NDArray[Any]

pytestmark = pytest.mark.usefixtures("measured_in_process")


# -- faults are found


def test_wrong_bytes_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, masks, path = written(tmp_path, chain(), activations=activations())
    np.savez(tmp_path / "inputs-0.npz", **seen(1)[0])
    names, inputs = ["fc0.weight.groups", "fc1.weight.groups"], [tmp_path / "inputs-0.npz"]
    assert find_wrong(path, names, inputs) is None
    with pytest.raises(ValueError, match=r"fc2\.weight"):
        find_wrong(path, [*names, "fc2.weight"], inputs)
    exact = integers.convolve

    def saturating(values: Array, weight: Array, attributes: Any) -> Array:
        """Sums that are cut off at 16 bits, as by processors without 8-bit products."""
        return np.clip(exact(values, weight, attributes), -(1 << 12), 1 << 12)

    monkeypatch.setattr(integers, "convolve", saturating)
    wrong = find_wrong(path, names, inputs)
    assert wrong is not None
    assert wrong.layer in names
    assert wrong.most > 1
    for act in (
        lambda: verify(path, model, masks, format="groups", activations=activations()),
        lambda: check_alone(path),
    ):
        with pytest.raises(LottoError, match="are off"):
            act()


def changed(path: Path, name: str, change: Callable[[Array], Array]) -> None:
    proto = onnx.load(path)
    (tensor,) = [t for t in proto.graph.initializer if t.name == name]
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), name))
    onnx.save(proto, path)


@pytest.mark.parametrize(
    "name", ["fc0.weight.groups.narrow", "fc0.weight.groups.scale", "lottoc.scale", "lottoc.zero"]
)
def test_a_changed_constant_is_found(name: str, tmp_path: Path) -> None:
    known = {"activations": activations()}
    model, masks, path = written(tmp_path, chain(), **known)
    changed(path, name, lambda array: (array + array.dtype.type(1)).astype(array.dtype))
    with pytest.raises(LottoError) as raised:
        verify(path, model, masks, format="groups", **known)
    assert raised.value.diagnostics[0].code == "verify-failed"


# -- refusals


def refusals() -> Iterator[tuple[str, str, Callable[[Path], object]]]:
    bad = seen()
    bad[2]["x"][3, 5] = np.nan
    yield (
        "activations-not-finite",
        "NaN or infinite",
        lambda folder: written(folder, chain(), activations=activations(bad)),
    )
    yield (
        "data-empty",
        "no example",
        lambda folder: written(folder, chain(), activations=activations([])),
    )
    yield (
        "onnx-run",
        "cannot run",
        lambda folder: written(
            folder, chain(), activations=activations([{"x": np.zeros((2, 7), np.float32)}])
        ),
    )

    def nothing_grouped(folder: Path) -> object:
        onnx.save(chain(), folder / "dense.onnx")
        model = open_onnx(folder / "dense.onnx")
        masks = {"fc0": np.random.default_rng(0).random((32, 24)) < 0.5}
        known: Any = {"format": "auto", "values": "int8", "activations": activations()}
        return emit(model, folder / "out.onnx", masks, **known)

    yield "onnx-format", "no layer can multiply in int8", nothing_grouped
    yield (
        "onnx-format",
        "needs opset 13",
        lambda folder: written(folder, chain(opset=12), activations=activations()),
    )

    def huge_bias(folder: Path) -> object:
        proto = chain()
        for tensor in proto.graph.initializer:
            if tensor.name.endswith("bias"):
                big = numpy_helper.to_array(tensor) * np.float32(1e9)
                tensor.CopyFrom(numpy_helper.from_array(big, tensor.name))
        onnx.save(proto, folder / "dense.onnx")
        model = open_onnx(folder / "dense.onnx")
        masks = grouped(model, ("fc0",))
        known: Any = {"format": "groups", "values": "int8", "activations": activations()}
        return emit(model, folder / "out.onnx", masks, **known)

    yield "onnx-format", "do not fit into 32 bits", huge_bias


@pytest.mark.parametrize(("code", "message", "act"), list(refusals()))
def test_refusals(code: str, message: str, act: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as raised:
        act(tmp_path)
    assert raised.value.diagnostics[0].code == code


def test_a_layer_that_cannot_be_in_int8_stays_in_floats(tmp_path: Path) -> None:
    proto = chain()
    for tensor in proto.graph.initializer:
        if tensor.name == "fc1.bias":
            big = numpy_helper.to_array(tensor) * np.float32(1e9)
            tensor.CopyFrom(numpy_helper.from_array(big, tensor.name))
    known = {"activations": activations()}
    model, masks, path = written(tmp_path, proto, **known)
    assert [layer.activations for layer in inspect(path)] == ["int8", "", ""]
    first, second = emit(model, path, masks, format="groups", values="int8", **known)
    assert (first.floats, second.floats) == ("", "its sums do not fit into 32 bits")
    assert verify(path, model, masks, format="groups", **known).integer_layers == 1


def test_what_leaves_nothing_of_an_output_is_refused(tmp_path: Path) -> None:
    # one outlier among the examples: all others are rounded to the same byte
    batches = seen()
    batches[3]["x"][0, :] = 1e6
    known = {"activations": activations(batches)}
    model, masks, path = written(tmp_path, chain(), **known)
    known["activations"].batches = lambda model: seen()
    with pytest.raises(InputError, match="int8 activations change output") as raised:
        verify(path, model, masks, format="groups", **known)
    assert raised.value.diagnostics[0].code == "activations-lossy"
