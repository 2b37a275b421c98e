"""Units that nothing reads or reaches leave a torch program, whose outputs stay what they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fx_networks import Mlp, network, sample, two_of_four
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import lottoc
from lottoc.backends.fx.contents import inspect
from lottoc.backends.fx.emit import emit
from lottoc.backends.fx.network import Network, masked_network
from lottoc.backends.fx.verify import verify
from lottoc.frontends.torch_model import TorchModel
from lottoc.runtime.load import read
from lottoc.signature import Layer


class Chain(nn.Module):
    """8 → 12 → 10 → 4."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 12), nn.Linear(12, 10), nn.Linear(10, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(functional.gelu(self.b(torch.relu(self.a(x)))))


class Images(nn.Module):
    """Convolutions, normalization, pooling, a residual, a depthwise one and a flattening."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.b = nn.Conv2d(8, 8, 3, padding=1)
        self.act, self.drop = nn.ReLU(inplace=True), nn.Dropout(0.5)
        self.deep = nn.Conv2d(8, 8, 3, groups=8)
        self.point = nn.Conv2d(8, 6, 1)
        self.fc, self.out = nn.Linear(6 * 4, 10), nn.Linear(10, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.norm(self.a(x)))
        x = functional.max_pool2d(x + self.b(x), 2)
        x = self.act(self.point(torch.sigmoid(self.deep(x))))
        x = self.drop(x).view(x.shape[0], -1)
        return self.out(torch.cat([torch.tanh(self.fc(x))], 1))


class Heads(nn.Module):
    """What is normalized across channels, and split into heads, stays."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 8)
        self.c = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.b(self.norm(self.a(x)))
        return self.c(x.view(-1, 2, 4).softmax(-1).reshape(-1, 8))


SHAPES: dict[type[nn.Module], tuple[int, ...]] = {Chain: (8,), Images: (3, 8, 8), Heads: (8,)}
Mask = Callable[[Layer], np.ndarray]


def made(make: type[nn.Module], mask: Mask) -> tuple[Network, np.ndarray]:
    def build() -> nn.Module:
        net = make()
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2.0)
                part.bias.data.normal_()
        return net

    model = TorchModel(Path("net.py"), build)
    masks = {layer.name: mask(layer) for layer in model.signature()}
    x = np.random.default_rng(1).standard_normal((5, *SHAPES[make])).astype(np.float32)
    return masked_network(model, model.initial_state(0), masks.get), x


def without(**gone: tuple[list[int], list[int]]) -> Mask:
    """All weights but some rows and columns, by layer."""

    def mask(layer: Layer) -> np.ndarray:
        kept = np.ones(layer.shape, bool)
        rows, columns = gone.get(layer.name, ([], []))
        kept[rows], kept[:, columns] = False, False
        return kept

    return mask


def written(masked: Network, x: np.ndarray, path: Path, **options: str) -> dict[str, torch.Size]:
    """Write, verify, compare; gives the shapes of what is stored."""
    shapes = compared(masked, x, path, **options)
    verify(path, masked, x)
    return shapes


def compared(masked: Network, x: np.ndarray, path: Path, **options: str) -> dict[str, torch.Size]:
    """The same without the verifier, which takes its time to start a process."""
    emit(masked, path, x, **{"format": "dense", **options})
    with torch.no_grad():
        inputs = torch.from_numpy(x)
        torch.testing.assert_close(
            lottoc.load(path)(inputs), masked.module(inputs), rtol=1e-5, atol=1e-5
        )
    return {name: tensor.shape for name, tensor in read(path)[0].state_dict.items()}


def test_what_nothing_reads_leaves(tmp_path: Path) -> None:
    """Columns 1 and 2 of b read nothing of a, so rows 1 and 2 of a go; likewise further on."""
    masked, x = made(Chain, without(b=([], [1, 2]), c=([], [0])))
    shapes = written(masked, x, tmp_path / "m.pt2")
    assert shapes == {
        "a.weight": (10, 8),
        "a.bias": (10,),
        "b.weight": (9, 10),
        "b.bias": (9,),
        "c.weight": (4, 9),
    }


def test_what_nothing_reaches_leaves_its_constant_behind(tmp_path: Path) -> None:
    masked, x = made(Chain, without(a=([3, 4], []), b=([5], [])))
    shapes = written(masked, x, tmp_path / "m.pt2")
    assert shapes["a.weight"] == (10, 8)
    assert shapes["b.weight"] == (9, 10)
    assert shapes["c.bias"] == (4,)  # which took what gelu made of a bias
    assert shapes["c.weight"] == (4, 9)


def test_one_leads_to_another(tmp_path: Path) -> None:
    """Unit 0 of b is read by nobody, so unit 7 of a is read by nobody either."""
    masked, x = made(Chain, lambda layer: chained(layer))
    shapes = written(masked, x, tmp_path / "m.pt2")
    assert shapes["b.weight"] == (9, 11)
    assert shapes["a.weight"] == (11, 8)


def chained(layer: Layer) -> np.ndarray:
    kept = np.ones(layer.shape, bool)
    if layer.name == "b":
        kept[1:, 7] = False
    if layer.name == "c":
        kept[:, 0] = False
    return kept


def test_through_all_that_networks_of_images_do(tmp_path: Path) -> None:
    """The residual joins a, b and the depthwise layer: unit 1 goes, which none of them needs.

    Unit 2 has no input in a, but in b; unit 6 is not read behind, but by b.
    """
    gone = without(
        a=([1, 2], []), b=([1], [1]), deep=([6], []), point=([0], [1, 6]), fc=([4], [4, 5, 6, 7])
    )
    masked, x = made(Images, gone)
    shapes = written(masked, x, tmp_path / "m.pt2")
    assert shapes["a.weight"][0] == shapes["norm.weight"][0] == shapes["deep.weight"][0]
    assert shapes["deep.weight"][0] == 7
    assert shapes["b.weight"][:2] == (7, 7)
    assert shapes["point.weight"][:2] == (4, 7)  # 0 is a constant, 1 is not read
    assert shapes["fc.weight"] == (9, 16)
    assert shapes["out.weight"] == (3, 9)
    assert [layer.layer.shape[0] for layer in inspect(tmp_path / "m.pt2")] == [7, 7, 7, 4, 9, 3]


def test_what_is_mixed_stays(tmp_path: Path) -> None:
    masked, x = made(Heads, without(a=([1], []), b=([2], []), c=([], [5])))
    shapes = written(masked, x, tmp_path / "m.pt2")
    assert shapes["a.weight"] == shapes["b.weight"] == (8, 8)
    assert shapes["c.weight"] == (4, 8)


@given(st.sampled_from([Chain, Images, Heads]), st.floats(0.05, 0.6), st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_outputs_stay_under_any_mask(make: type[nn.Module], density: float, seed: int) -> None:
    import tempfile

    draw = np.random.default_rng(seed)
    masked, x = made(make, lambda layer: draw.random(layer.shape) < density)
    with tempfile.TemporaryDirectory() as folder:
        compared(masked, x, Path(folder) / "m.pt2")


@given(st.floats(0.05, 0.4), st.integers(0, 999))
@settings(max_examples=15, deadline=None)
def test_no_more_stays_of_a_chain_than_has_to(density: float, seed: int) -> None:
    """Alive is what the input reaches and the output reads, by matrix products of masks."""
    import tempfile

    draw = np.random.default_rng(seed)
    masked, x = made(Chain, lambda layer: draw.random(layer.shape) < density)
    a, b, c = (masked.kept[name].numpy().astype(int) for name in "abc")
    reached = [a.any(1), (b[:, a.any(1)]).any(1)]
    read = [(b[c.any(0)]).any(0), c.any(0)]
    alive = [max(1, int((one & other).sum())) for one, other in zip(reached, read, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        shapes = compared(masked, x, Path(folder) / "m.pt2")
    assert (shapes["a.weight"][0], shapes["b.weight"][0]) == tuple(alive)


def test_reports_say_what_is_left(tmp_path: Path) -> None:
    masked, x = made(Chain, without(b=([], [1, 2])))
    reports = {r.name: r for r in emit(masked, tmp_path / "m.pt2", x, format="csr")}
    assert (reports["a"].shape, reports["a"].units) == ((12, 8), (10, 8))
    assert (reports["b"].shape, reports["b"].units) == ((10, 12), (10, 10))
    assert reports["b"].kept == 100
    assert reports["c"].units == ()
    assert reports["a"].dense_bytes == 12 * 8 * 4


@pytest.mark.parametrize("format", ["csr", "auto"])
def test_formats_store_what_is_left(format: str, tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    masked, x = made(Chain, lambda layer: draw.random(layer.shape) < 0.15)
    shapes = written(masked, x, tmp_path / "m.pt2", format=format)
    assert shapes["a.bias"][0] < 12


def test_masked_programs_keep_all_since_they_train_on(tmp_path: Path) -> None:
    masked, x = made(Chain, without(b=([], [1, 2])))
    assert written(masked, x, tmp_path / "m.pt2", format="masked")["a.weight"] == (12, 8)


def test_fours_of_columns_stay_together(tmp_path: Path) -> None:
    """Column 5 of b is empty, but b is stored 2:4."""

    def mask(layer: Layer) -> np.ndarray:
        kept = two_of_four(layer)
        if layer.name == "b":
            kept[:, 5] = False
        return kept

    class Fours(Chain):
        def __init__(self) -> None:
            super().__init__()
            self.b, self.c = nn.Linear(12, 8), nn.Linear(8, 4)

    SHAPES[Fours] = (8,)
    masked, x = made(Fours, mask)
    emit(masked, tmp_path / "m.pt2", x, format="semi_structured")
    notes = {layer.layer.name: layer.layer.shape for layer in inspect(tmp_path / "m.pt2")}
    assert notes == {"a": (12, 8), "b": (8, 12), "c": (4, 8)}
    verify(tmp_path / "m.pt2", masked, x)


def test_a_layer_that_is_called_twice_keeps_its_units(tmp_path: Path) -> None:
    def mask(layer: Layer) -> np.ndarray:
        kept = np.ones(layer.shape, bool)
        kept[:3] = False
        return kept

    masked, x = network(Mlp, mask), sample(Mlp)
    emit(masked, tmp_path / "m.pt2", x, format="dense")
    verify(tmp_path / "m.pt2", masked, x)
    notes = {layer.layer.name: layer.layer.shape for layer in inspect(tmp_path / "m.pt2")}
    assert notes["twice"] == (32, 32)
    assert notes["first"] == (32, 16)


def test_equal_networks_give_equal_bytes(tmp_path: Path) -> None:
    masked, x = made(Images, without(a=([1, 2], []), b=([1], [1])))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        emit(masked, tmp_path / name / "m.pt2", x)
    assert (tmp_path / "one" / "m.pt2").read_bytes() == (tmp_path / "two" / "m.pt2").read_bytes()
