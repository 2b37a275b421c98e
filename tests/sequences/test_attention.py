"""Attention whose projections are one matrix: everything is as with a linear layer for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from sequence_networks import CLASSES, HEADS, KINDS, WIDTH, Packed, Split, examples, parts_of
from torch import nn

from lottoc import criteria
from lottoc.backends import onnx
from lottoc.backends.fx.emit import emit as emit_fx
from lottoc.backends.fx.network import masked_network
from lottoc.backends.fx.verify import verify as verify_fx
from lottoc.diagnostics import InputError
from lottoc.frontends.onnx_model import open_onnx
from lottoc.frontends.torch_model import TorchModel
from lottoc.layerwise.moments import Gram, Squares, measure_all
from lottoc.layerwise.torch_walk import TorchWalk
from lottoc.masks.patterns import parse
from lottoc.masks.share import keep_share
from lottoc.runtime.load import load
from lottoc.signature import layer_called, parameter_of
from lottoc.statistics.curvature import DiagonalCurvature
from lottoc.statistics.flow import Flow
from lottoc.statistics.gradient import Gradient
from lottoc.statistics.hessian_gradient import HessianGradient
from lottoc.statistics.network import TorchNetwork
from lottoc.training.module import state_of

STATISTICS: Mapping[str, Any] = {
    "snip": Gradient(),
    "grasp": HessianGradient(),
    "obd": DiagonalCurvature(),
    "fisher": DiagonalCurvature(curvature="fisher"),
}


def network(module: nn.Module, masks: Mapping[str, NDArray[np.bool_]] | None = None) -> Any:
    return TorchNetwork.of(module, state_of(module, None, 0), examples(), masks)


def test_what_is_a_layer() -> None:
    packed = TorchModel(Path("n.py"), Packed).signature()
    assert [(x.name, x.kind, x.shape) for x in packed] == [
        ("attention.in_proj_weight", "attention", (3 * WIDTH, WIDTH)),
        ("attention.out_proj", "linear", (WIDTH, WIDTH)),
        ("head", "linear", (CLASSES, WIDTH)),
    ]
    separate = TorchModel(Path("n.py"), lambda: Packed(kind="separate")).signature()
    assert [(x.name, x.kind, x.shape) for x in separate][:3] == [
        ("attention.q_proj_weight", "attention", (WIDTH, WIDTH)),
        ("attention.k_proj_weight", "attention", (WIDTH, 8)),
        ("attention.v_proj_weight", "attention", (WIDTH, 6)),
    ]


def test_names_of_parameters() -> None:
    known = {"fc.weight", "a.in_proj_weight", "a.in_proj.weight"}
    for layer in ("fc", "a.in_proj_weight", "a.in_proj"):
        assert layer_called(parameter_of(layer, known)) == layer
        assert parameter_of(layer, known) in known


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("criterion", STATISTICS)
def test_scores_are_those_of_linear_layers(criterion: str, kind: str) -> None:
    packed = Packed(kind=kind)
    split, parts = Split(packed), parts_of(kind)
    x = torch.from_numpy(examples().x)
    torch.testing.assert_close(packed(x), split(x))
    found = STATISTICS[criterion].gather(network(packed), list(parts))
    expected = STATISTICS[criterion].gather(
        network(split), [name for names in parts.values() for name in names]
    )
    for name, names in parts.items():
        whole = np.concatenate([expected[each] for each in names])
        assert np.abs(whole).max() > 1e-9
        np.testing.assert_allclose(found[name], whole, rtol=1e-7, atol=1e-12 * np.abs(whole).max())


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_differences(kind: str) -> None:
    module, data = Packed(kind=kind), examples()
    (layer, *_), step = parts_of(kind), 1e-6
    found = Gradient().gather(network(Packed(kind=kind)), [layer])[layer]
    weight = dict(module.named_parameters())[layer]
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)

    def loss() -> float:
        with torch.no_grad():
            return float(nn.functional.cross_entropy(module.eval()(x), y))

    for at in [(0, 0), (weight.shape[0] // 2, 3), (weight.shape[0] - 1, 5)]:
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[at] += sign * step
            values.append(loss())
            with torch.no_grad():
                weight[at] -= sign * step
        slope = (values[0] - values[1]) / (2 * step)
        np.testing.assert_allclose(found[at], slope, rtol=1e-5, atol=1e-9)


def test_a_global_ranking_prunes_the_same_weights() -> None:
    packed, parts = Packed(), parts_of("self")
    split, criterion = Split(packed), criteria.criterion_class("snip")()

    def masks(module: nn.Module, names: list[str]) -> dict[str, NDArray[np.bool_]]:
        gradient, state = Gradient().gather(network(module), names), state_of(module, None, 0)
        scores = [criterion.score(state.layer(n), None, gradient[n]) for n in names]
        kept = keep_share(parse("unstructured"), "global", Fraction(1, 3), scores)
        return dict(zip(names, kept, strict=True))

    found = masks(packed, list(parts))
    expected = masks(split, [name for names in parts.values() for name in names])
    for name, names in parts.items():
        assert np.array_equal(found[name], np.concatenate([expected[each] for each in names]))
    again = Gradient().gather(network(Packed(), found), list(parts))
    other = Gradient().gather(network(Split(Packed()), expected), list(expected))
    for name, names in parts.items():
        whole = np.concatenate([other[each] for each in names])
        np.testing.assert_allclose(again[name], whole, rtol=1e-7, atol=1e-12)
        assert not again[name][~found[name]].any()


def test_there_is_no_flow_through_softmax() -> None:
    codes = []
    for module, layers in ((Packed(), ["head"]), (Split(Packed()), ["head"])):
        with pytest.raises(InputError) as caught:
            Flow().gather(network(module), layers)
        codes.append(caught.value.diagnostics[0].code)
    assert codes == ["flow-not-linear"] * 2


@pytest.mark.parametrize("make", [Squares, Gram])
@pytest.mark.parametrize("kind", ["self", "separate"])
def test_inputs_are_those_of_linear_layers(make: Callable[[int], Any], kind: str) -> None:
    packed, x = Packed(kind=kind), examples().x
    split, parts = Split(packed), parts_of(kind)

    def moments(module: nn.Module, names: list[str]) -> Mapping[str, NDArray[Any]]:
        walk = TorchWalk(module, names, {"x": x}, Path("n.py"))
        batches = [{"x": x[:4]}, {"x": x[4:]}]
        return measure_all(walk, names, batches, make, lambda done: None, None)

    found = moments(packed, list(parts))
    expected = moments(split, [name for names in parts.values() for name in names])
    for name, names in parts.items():
        for each in names:
            np.testing.assert_allclose(found[name], expected[each], rtol=1e-5, atol=1e-8)
    if kind == "self":
        assert np.array_equal(expected["q"], expected["v"])


def test_parts_with_inputs_of_their_own_are_refused() -> None:
    for kind in ("cross", "apart"):
        names = list(parts_of(kind))
        walk = TorchWalk(Packed(kind=kind), names, {"x": examples().x}, Path("n.py"))
        with pytest.raises(InputError) as caught:
            list(walk.stages(names, [{"x": examples().x}]))
        (said,) = caught.value.diagnostics
        assert (said.code, '"attention.in_proj_weight"' in said.message) == ("layer-apart", True)
        assert walk.runs("attention.out_proj") == 1
        with_the_rest = list(walk.stages(names[1:], [{"x": examples().x}]))
        assert len(with_the_rest) == 2


class Stack(nn.Module):
    """Encoder layers that begin with equal weights, as `nn.TransformerEncoder` copies them."""

    def __init__(self, norm_first: bool = False) -> None:
        super().__init__()
        torch.manual_seed(1)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 20, batch_first=True, norm_first=norm_first
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(x).mean(1))


class Decoder(nn.Module):
    """A decoder layer, whose second attention looks at something else."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.layer = nn.TransformerDecoderLayer(WIDTH, HEADS, 20, batch_first=True)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(x, x.flip(1)).mean(1))


class Wide(nn.Module):
    """Weights too large to be folded when they are exported, and turned, and cut."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.into = nn.Linear(WIDTH, 64)
        self.attention = nn.MultiheadAttention(64, 4, batch_first=True)
        self.cross = nn.MultiheadAttention(64, 4, batch_first=True)
        self.head = nn.Linear(64, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.into(x)
        x = x + self.attention(x, x, x)[0]
        return self.head(self.cross(x, x.flip(1), x)[0].mean(1))


NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    **{kind: (lambda kind=kind: Packed(kind=kind).float()) for kind in KINDS},
    "stack": Stack,
    "norm first": lambda: Stack(norm_first=True),
    "decoder": Decoder,
    "wide": Wide,
}


def masks_for(model: TorchModel, share: float = 0.3) -> dict[str, NDArray[np.bool_]]:
    """Random masks, none like another."""
    draw = np.random.default_rng(3)
    return {layer.name: draw.random(layer.shape) < share for layer in model.signature()}


def masked_outputs(model: TorchModel, masks: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
    """What torch computes where the weights are multiplied with their masks."""
    module = model.build(0).eval()
    tensors = dict(module.named_parameters())
    with torch.no_grad():
        for name, mask in masks.items():
            tensors[parameter_of(name, tensors)].mul_(torch.from_numpy(mask))
        return module(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx(name: str, tmp_path: Path) -> None:
    model, x = TorchModel(tmp_path / "n.py", NETWORKS[name]), examples().x
    masks, path = masks_for(model), tmp_path / "m.onnx"
    model.export_onnx(model.initial_state(0), x[:2], tmp_path / "dense.onnx")
    dense = open_onnx(tmp_path / "dense.onnx")
    assert set(dense.weights) == set(masks)
    for layer in masks:
        assert np.array_equal(dense.layer(layer), model.initial_state(0).layer(layer))
    for format in ("auto", "dense", "packed", "sparse"):
        reports = onnx.emit(dense, path, masks, format=format)
        assert {report.name for report in reports} == set(masks)
        verified = onnx.verify(path, dense, masks, format=format)
        assert verified.layers == len(masks)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for count in (1, 7):
            (found,) = session.run(None, {session.get_inputs()[0].name: x[:count]})
            expected = masked_outputs(model, masks, x[:count])
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["self", "cross", "separate", "stack", "decoder"])
def test_fx(name: str, tmp_path: Path) -> None:
    model, x = TorchModel(tmp_path / "n.py", NETWORKS[name]), examples().x
    masks, path = masks_for(model), tmp_path / "m.pt2"
    net = masked_network(model, model.initial_state(0), masks.get)
    for format in ("auto", "csr", "masked") if name in ("cross", "separate") else ("auto",):
        reports = emit_fx(net, path, x[:3], format=format)
        assert {report.name for report in reports} == set(masks)
        verify_fx(path, net, x[:3])
        found = load(path)(torch.from_numpy(x[:5])).detach().numpy()
        np.testing.assert_allclose(found, masked_outputs(model, masks, x[:5]), rtol=1e-4, atol=1e-5)
