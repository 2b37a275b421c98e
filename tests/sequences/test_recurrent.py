"""Recurrent weights, in which the gates lie below one another: as with a linear layer for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from sequence_networks import CLASSES, GATES, HIDDEN, WIDTH, Gated, Recurrent, examples, gates_of
from torch import nn

from lottoc.backends import onnx
from lottoc.backends.fx.emit import emit as emit_fx
from lottoc.backends.fx.network import masked_network
from lottoc.backends.fx.verify import verify as verify_fx
from lottoc.diagnostics import InputError
from lottoc.frontends.onnx_model import open_onnx
from lottoc.frontends.torch_model import TorchModel
from lottoc.runtime.load import load
from lottoc.signature import parameter_of
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


def network(module: nn.Module) -> TorchNetwork:
    return TorchNetwork.of(module, state_of(module, None, 0), examples())


def test_what_is_a_layer() -> None:
    signature = TorchModel(Path("n.py"), Recurrent).signature()
    assert [(x.name, x.kind, x.shape) for x in signature] == [
        ("memory.weight_ih_l0", "recurrent", (4 * HIDDEN, WIDTH)),
        ("memory.weight_hh_l0", "recurrent", (4 * HIDDEN, HIDDEN)),
        ("head", "linear", (CLASSES, HIDDEN)),
    ]
    options = {"num_layers": 2, "bidirectional": True, "proj_size": 4}
    many = TorchModel(Path("n.py"), lambda: Recurrent("lstm", **options)).signature()
    kinds = ("ih", "hh", "hr")
    ends = [f"{end}{back}" for end in ("l0", "l1") for back in ("", "_reverse")]
    names = {f"memory.weight_{kind}_{end}" for kind in kinds for end in ends}
    assert {x.name for x in many} == {*names, "head"}


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("criterion", STATISTICS)
def test_scores_are_those_of_linear_layers(criterion: str, kind: str) -> None:
    packed = Recurrent(kind)
    gated, parts = Gated(packed, kind), gates_of(kind)
    x = torch.from_numpy(examples().x)
    torch.testing.assert_close(packed(x), gated(x))
    found = STATISTICS[criterion].gather(network(Recurrent(kind)), list(parts))
    expected = STATISTICS[criterion].gather(
        network(gated), [name for names in parts.values() for name in names]
    )
    for name, names in parts.items():
        whole = np.concatenate([expected[each] for each in names])
        assert np.abs(whole).max() > 1e-9
        np.testing.assert_allclose(found[name], whole, rtol=1e-6, atol=1e-10 * np.abs(whole).max())


@pytest.mark.parametrize("criterion", ["snip", "grasp"])
def test_single_precision_takes_other_kernels(criterion: str) -> None:
    names = list(gates_of("lstm"))
    found = STATISTICS[criterion].gather(network(Recurrent().float()), names)
    expected = STATISTICS[criterion].gather(network(Recurrent()), names)
    for name in names:
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-2, atol=1e-3 * scale)


def test_there_is_no_flow_through_gates() -> None:
    with pytest.raises(InputError) as caught:
        Flow().gather(network(Recurrent()), ["head"])
    assert caught.value.diagnostics[0].code == "flow-not-linear"


class Cells(nn.Module):
    """Cells that forward() calls step by step."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.gru = nn.LSTMCell(WIDTH, HIDDEN), nn.GRUCell(HIDDEN, HIDDEN)
        self.head = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = c = g = x.new_zeros(x.shape[0], HIDDEN)
        for step in range(x.shape[1]):
            h, c = self.lstm(x[:, step], (h, c))
            g = self.gru(h, g)
        return self.head(g)


NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    **{kind: (lambda kind=kind: Recurrent(kind).float()) for kind in GATES},
    "deep lstm": lambda: Recurrent("lstm", num_layers=2, bidirectional=True).float(),
    "deep gru": lambda: Recurrent("gru", num_layers=2, bidirectional=True, bias=False).float(),
    "projected": lambda: Recurrent("lstm", proj_size=4).float(),
    "relu": lambda: Recurrent("rnn", nonlinearity="relu").float(),
    "cells": Cells,
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


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "projected"])
def test_onnx(name: str, tmp_path: Path) -> None:
    model, x = TorchModel(tmp_path / "n.py", NETWORKS[name]), examples().x
    masks, path = masks_for(model), tmp_path / "m.onnx"
    assert not model.export_onnx(model.initial_state(0), x[:2], tmp_path / "dense.onnx")
    dense = open_onnx(tmp_path / "dense.onnx")
    assert set(dense.weights) == set(masks)
    for layer in masks:
        assert np.array_equal(dense.layer(layer), model.initial_state(0).layer(layer))
    for format in ("auto", "packed", "sparse"):
        reports = onnx.emit(dense, path, masks, format=format)
        assert {report.name for report in reports} == set(masks)
        verified = onnx.verify(path, dense, masks, format=format)
        assert verified.layers == len(masks)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for count in (1, 7):
            (found,) = session.run(None, {session.get_inputs()[0].name: x[:count]})
            expected = masked_outputs(model, masks, x[:count])
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_projections_have_no_onnx(tmp_path: Path) -> None:
    model = TorchModel(tmp_path / "n.py", NETWORKS["projected"])
    with pytest.raises(InputError) as caught:
        model.export_onnx(model.initial_state(0), examples().x[:2], tmp_path / "m.onnx")
    (said,) = caught.value.diagnostics
    assert (said.code, '"memory"' in said.message) == ("export-failed", True)


@pytest.mark.parametrize("name", ["lstm", "deep gru", "projected", "relu", "cells"])
def test_fx(name: str, tmp_path: Path) -> None:
    model, x = TorchModel(tmp_path / "n.py", NETWORKS[name]), examples().x
    masks, path = masks_for(model), tmp_path / "m.pt2"
    net = masked_network(model, model.initial_state(0), masks.get)
    for format in ("auto", "csr", "masked") if name == "lstm" else ("auto",):
        reports = emit_fx(net, path, x[:3], format=format)
        assert {report.name for report in reports} == set(masks)
        verify_fx(path, net, x[:3])
        found = load(path)(torch.from_numpy(x[:5])).detach().numpy()
        np.testing.assert_allclose(found, masked_outputs(model, masks, x[:5]), rtol=1e-4, atol=1e-5)
