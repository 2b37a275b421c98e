"""Networks that cannot become programs, or whose weights cannot be masked: refused by name."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lottoc.backends.fx.emit import emit
from lottoc.backends.fx.network import masked_network
from lottoc.diagnostics import InputError
from lottoc.frontends.torch_model import open_torch

NETS = textwrap.dedent(
    """
    import torch
    import torch.nn.utils.prune
    from torch import nn

    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            if x.sum() > 0:
                return self.a(x)
            return self.b(x)

    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(8, 8)

        def forward(self, x):
            while x.norm() < 10:
                x = self.a(x) * 2
            return x

    class Conditional(Branch):
        def forward(self, x):
            return torch.cond(x.sum() > 0, lambda x: self.a(x), lambda x: self.b(x), (x,))

    class FixedBatch(Branch):
        def forward(self, x):
            return self.a(x) if len(x) == 3 else self.b(x)

    def normed():
        return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)))

    def old_normed():
        return nn.Sequential(nn.utils.weight_norm(nn.Linear(8, 8)))

    def pruned():
        layer = nn.Linear(8, 8)
        nn.utils.prune.l1_unstructured(layer, "weight", 0.5)
        return nn.Sequential(layer)

    def quantized():
        float_model = nn.Sequential(nn.Linear(8, 8))
        return torch.ao.quantization.quantize_dynamic(float_model, {nn.Linear})

    def integers():
        layer = nn.Linear(8, 8)
        layer.weight = nn.Parameter(torch.ones(8, 8, dtype=torch.int8), requires_grad=False)
        return nn.Sequential(layer)
    """
)


def write(folder: Path, function: str, format: str = "masked") -> torch.nn.Module:
    """Write a model of NETS; gives the masked dense network."""
    source = folder / "net.py"
    source.write_text(NETS)
    model = open_torch(source, function)
    masks = {layer.name: np.eye(*layer.shape, dtype=bool) for layer in model.signature()}
    network = masked_network(model, model.initial_state(0), masks.get)
    emit(network, folder / "m.pt2", np.ones((3, 8), np.float32), format=format)
    return network.module


@pytest.mark.parametrize(
    ("function", "code", "said"),
    [
        ("Branch", "export-failed", r"net\.py:12: "),
        ("Loop", "export-failed", r"net\.py:22: "),
        ("FixedBatch", "export-batch", "batches of 3 only"),
        ("normed", "torch-layer", 'layer "0" has a parametrized weight'),
        ("old_normed", "torch-layer", 'layer "0" has a parametrized weight'),
        ("pruned", "torch-layer", 'layer "0" has a parametrized weight'),
        ("quantized", "torch-layer", 'layer "0" is quantized; prune the model before'),
        ("integers", "torch-layer", 'layer "0" has weights of type int8'),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_refused(function: str, code: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said) as error:
        write(tmp_path, function)
    assert error.value.diagnostics[0].code == code
    assert not (tmp_path / "m.pt2").exists()


@pytest.mark.parametrize("format", ["dense", "masked", "csr"])
def test_control_flow_that_torch_can_export(format: str, tmp_path: Path) -> None:
    import lottoc

    module = write(tmp_path, "Conditional", format)
    loaded = lottoc.load(tmp_path / "m.pt2")
    for sign in (1.0, -1.0):
        x = sign * torch.rand(3, 8)
        with torch.no_grad():
            torch.testing.assert_close(loaded(x), module(x))


def test_a_sequence_of_layers_of_one_object(tmp_path: Path) -> None:
    """A module that is registered twice, and one parameter that two modules share."""
    import lottoc
    from lottoc.frontends.torch_model import TorchModel

    def build() -> nn.Module:
        layer = nn.Linear(8, 8)
        other = nn.Linear(8, 8)
        other.weight = layer.weight
        return nn.Sequential(layer, nn.ReLU(), layer, other)

    model = TorchModel(Path("net.py"), build)
    assert [layer.name for layer in model.signature()] == ["0"]
    masks = {"0": np.eye(8, dtype=bool)}
    network = masked_network(model, model.initial_state(0), masks.get)
    for format in ("masked", "csr", "semi_structured"):
        emit(network, tmp_path / f"{format}.pt2", np.ones((2, 8), np.float32), format=format)
        x = torch.randn(4, 8)
        torch.testing.assert_close(lottoc.load(tmp_path / f"{format}.pt2")(x), network.module(x))


def test_a_name_that_the_model_uses_itself(tmp_path: Path) -> None:
    from lottoc.frontends.torch_model import TorchModel

    class Named(nn.Linear):
        def __init__(self) -> None:
            super().__init__(8, 8)
            self.register_buffer("weight_mask", torch.ones(8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * self.weight_mask

    model = TorchModel(Path("net.py"), lambda: nn.Sequential(Named()))
    network = masked_network(model, model.initial_state(0), lambda _: np.eye(8, dtype=bool))
    with pytest.raises(InputError, match=r'the model has a "0\.weight_mask" of its own') as error:
        emit(network, tmp_path / "m.pt2", np.ones((2, 8), np.float32), format="masked")
    assert error.value.diagnostics[0].code == "fx-format"
