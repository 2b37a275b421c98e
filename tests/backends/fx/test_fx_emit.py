"""What is written computes what the masked network does, and holds nothing of this machine."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fx_networks import (
    INPUTS,
    LINEAR,
    Attention,
    ByHand,
    Convolutions,
    Mlp,
    Tied,
    network,
    sample,
    scattered,
    two_of_four,
)
from torch import nn

import lottoc
from lottoc.backends.fx.contents import inspect
from lottoc.backends.fx.emit import emit
from lottoc.backends.fx.verify import verify
from lottoc.diagnostics import InputError
from lottoc.runtime.load import read
from lottoc.signature import Layer

HERE = Path(__file__).parent
FORMATS = ("dense", "masked", "csr", "semi_structured", "auto")


@pytest.fixture(autouse=True)
def one_way_of_attention() -> Iterator[None]:
    """Outside of programs torch may run a fused kernel, whose sums are in another order."""
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(True)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("make", LINEAR)
def test_it_is_the_masked_dense_network(make: type[nn.Module], format: str, tmp_path: Path) -> None:
    masked, x = network(make), sample(make, 5)
    reports = emit(masked, tmp_path / "m.pt2", x, format=format)
    assert {r.format for r in reports} <= {format, "dense", "csr", "removed"}
    loaded = lottoc.load(tmp_path / "m.pt2")
    for rows in (1, 2, 5):
        inputs = torch.from_numpy(x[:rows])
        with torch.no_grad():
            actual, expected = loaded(inputs), masked.module(inputs)
        # weights that are computed lie elsewhere in memory, where long sums may take another order
        if format == "dense" or (format in ("masked", "semi_structured") and make is not Attention):
            assert torch.equal(actual, expected)
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("format", FORMATS)
def test_the_verifier_agrees(format: str, tmp_path: Path) -> None:
    masked, x = network(Mlp), sample(Mlp)
    emit(masked, tmp_path / "m.pt2", x, format=format)
    report = verify(tmp_path / "m.pt2", masked, x)
    assert report.layers == 3
    assert [trial.shape[0] for trial in report.trials] == [2, 3]
    assert report.max_error == 0 or format in ("csr", "auto")


@pytest.mark.parametrize(
    ("options", "dtype", "error"),
    [
        ({"values": "float16"}, "float16", 2e-3),
        ({"values": "bfloat16"}, "bfloat16", 2e-2),
        ({"target": "nvidia-ampere"}, "bfloat16", 2e-2),
        ({"target": "nvidia-hopper", "values": "float16"}, "float16", 2e-3),
    ],
)
@pytest.mark.parametrize("make", LINEAR)
def test_narrow_values_are_right_to_rounding(
    make: type[nn.Module], options: dict[str, str], dtype: str, error: float, tmp_path: Path
) -> None:
    masked, x = network(make), sample(make, 5)
    reports = emit(masked, tmp_path / "m.pt2", x, format="semi_structured", **options)
    assert {r.values for r in reports if r.format != "removed"} == {dtype}
    inputs = torch.from_numpy(x)
    with torch.no_grad():
        actual, expected = lottoc.load(tmp_path / "m.pt2")(inputs), masked.module(inputs)
    assert actual.dtype == expected.dtype
    assert 0 < float((actual - expected).abs().max() / expected.abs().max()) < error


class Casting(Mlp):
    """Takes float32, computes in the type of its weights."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.to(self.first.weight.dtype))


INPUTS[Casting] = (16,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_of_narrow_weights_keeps_its_type(dtype: torch.dtype, tmp_path: Path) -> None:
    masked, x = network(Casting, dtype=dtype), sample(Casting)
    emit(masked, tmp_path / "m.pt2", x, format="semi_structured", target="nvidia-ampere")
    verify(tmp_path / "m.pt2", masked, x)
    loaded, inputs = lottoc.load(tmp_path / "m.pt2"), torch.from_numpy(x)
    actual = loaded(inputs)
    assert actual.dtype == dtype
    assert torch.equal(actual, masked.module(inputs))
    state = read(tmp_path / "m.pt2")[0].state_dict
    assert state["twice.weight_values"].dtype == dtype


def test_shapes_are_padded_to_what_the_hardware_takes(tmp_path: Path) -> None:
    emit(network(Mlp), tmp_path / "m.pt2", sample(Mlp), format="semi_structured")
    state = read(tmp_path / "m.pt2")[0].state_dict
    assert state["last.weight_values"].shape == (32, 32)  # 4×32, padded to 32×64
    assert state["last.weight_meta"].shape == (32, 4)


def test_a_layer_that_is_called_twice_is_stored_once(tmp_path: Path) -> None:
    reports = emit(network(Mlp), tmp_path / "m.pt2", sample(Mlp), format="semi_structured")
    assert [r.name for r in reports] == ["first", "twice", "never", "last"]
    assert next(r for r in reports if r.name == "never").format == "removed"
    program, _ = read(tmp_path / "m.pt2")
    assert not any(name.startswith("never") for name in program.state_dict)
    linear = torch.ops.lottoc.semi_structured_linear.default
    calls = [node for node in program.graph.nodes if node.target == linear]
    assert len(calls) == 4
    assert sum(name.startswith("twice.weight_values") for name in program.state_dict) == 1


def test_a_weight_of_two_layers_and_an_embedding_is_stored_once(tmp_path: Path) -> None:
    masked = network(Tied)
    emit(masked, tmp_path / "m.pt2", sample(Tied), format="semi_structured")
    program, _ = read(tmp_path / "m.pt2")
    stored = [name for name in program.state_dict if name.endswith("_values")]
    assert len(stored) == 2  # of mid, and of head with other and embedding
    assert not any(name.endswith(".weight") for name in program.state_dict)
    assert [layer.layer.name for layer in inspect(tmp_path / "m.pt2")] == ["mid", "head"]


@pytest.mark.parametrize(
    ("format", "expected"),
    [("csr", "it is a convolution"), ("semi_structured", "it is a convolution")],
)
def test_convolutions_are_refused_where_they_do_not_fit(
    format: str, expected: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=rf'layer "a" cannot be stored as {format}: {expected}'):
        emit(
            network(Convolutions, every_other),
            tmp_path / "m.pt2",
            sample(Convolutions),
            format=format,
        )


def every_other(layer: Layer) -> np.ndarray:
    return np.arange(np.prod(layer.shape)).reshape(layer.shape) % 2 == 0


@pytest.mark.parametrize("format", ["dense", "masked", "auto"])
def test_convolutions_where_they_fit(format: str, tmp_path: Path) -> None:
    masked, x = network(Convolutions, every_other), sample(Convolutions)
    emit(masked, tmp_path / "m.pt2", x, format=format)
    assert verify(tmp_path / "m.pt2", masked, x).layers == 3


def test_a_mask_that_is_not_two_of_four_is_refused_by_its_place(tmp_path: Path) -> None:
    def three(layer: Layer) -> np.ndarray:
        mask = two_of_four(layer)
        if layer.name == "twice":
            mask[5, 8:11] = True
        return mask

    with pytest.raises(InputError, match=r'layer "twice".*row 5 keeps more than two of columns 8'):
        emit(network(Mlp, three), tmp_path / "m.pt2", sample(Mlp), format="semi_structured")
    assert not list(tmp_path.iterdir())


def test_a_value_too_large_for_float16_is_refused(tmp_path: Path) -> None:
    masked = network(Mlp)
    with torch.no_grad():
        row, column = np.argwhere(two_of_four(masked.signature["first"]))[0]
        masked.module.first.weight[row, column] = 1e6
    with pytest.raises(InputError, match="1e\\+06 is too large for float16"):
        emit(masked, tmp_path / "m.pt2", sample(Mlp), format="semi_structured", values="float16")


def test_a_gpu_target_leaves_dense_what_does_not_fit(tmp_path: Path) -> None:
    masked, x = network(Mlp, scattered), sample(Mlp)
    reports = emit(masked, tmp_path / "m.pt2", x, format="auto", target="nvidia-ampere")
    assert "dense" in {report.format for report in reports}
    assert verify(tmp_path / "m.pt2", masked, x).layers == 3


WRITE = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import torch
from fx_networks import Mlp, network, sample
from lottoc.backends.fx.emit import emit
torch.set_num_threads(int(sys.argv[2]))
for format in ("masked", "csr", "semi_structured"):
    emit(network(Mlp), Path(format + sys.argv[3]), sample(Mlp), format=format)
"""


def test_equal_networks_give_equal_bytes(tmp_path: Path) -> None:
    contents = []
    for number, name in enumerate((".pt2", "-by-another-name.pt2")):
        folder = tmp_path / str(number)
        folder.mkdir()
        command = [sys.executable, "-c", WRITE, str(HERE), str(1 + number), name]
        subprocess.run(command, check=True, cwd=folder)
        contents.append([path.read_bytes() for path in sorted(folder.iterdir())])
    assert len(contents[0]) == 3
    assert contents[0] == contents[1]
    for path in folder.iterdir():
        with zipfile.ZipFile(path) as archive:
            texts = b"".join(map(archive.read, archive.namelist()))
        for local in (str(HERE).encode(), b"site-packages", b"fx_networks"):
            assert local not in texts


def test_examples_do_not_travel_along(tmp_path: Path) -> None:
    x = sample(Mlp) + 1
    emit(network(Mlp), tmp_path / "m.pt2", x, format="dense")
    (stored,), _ = read(tmp_path / "m.pt2")[0].example_inputs
    assert stored.shape[1:] == (16,)
    assert not stored.any()


def test_a_moved_program_runs(tmp_path: Path) -> None:
    emit(network(Attention), tmp_path / "m.pt2", sample(Attention), target="nvidia-ampere")
    loaded = lottoc.load(tmp_path / "m.pt2", device="meta")
    out = loaded(torch.zeros(2, 6, 16, device="meta"))
    assert out.device.type == "meta"
    assert out.shape == (2, 4)


def test_weights_used_by_hand_are_masked_too(tmp_path: Path) -> None:
    masked, x = network(ByHand), sample(ByHand)
    emit(masked, tmp_path / "m.pt2", x, format="semi_structured")
    program, _ = read(tmp_path / "m.pt2")
    targets = [node.target for node in program.graph.nodes]
    assert torch.ops.lottoc.semi_structured_to_dense.default in targets
    assert not any(name.endswith(".weight") for name in program.state_dict)


@pytest.mark.parametrize("format", ["masked", "csr", "semi_structured"])
def test_a_loaded_program_compiles(format: str, tmp_path: Path) -> None:
    masked, x = network(Mlp), torch.from_numpy(sample(Mlp, 5))
    emit(masked, tmp_path / "m.pt2", sample(Mlp), format=format)
    compiled = torch.compile(lottoc.load(tmp_path / "m.pt2"), backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), masked.module(x), rtol=1e-5, atol=1e-5)
