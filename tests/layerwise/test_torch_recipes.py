"""Criteria that look at activations, on torch models: linear layers and convolutions."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from papers import output_error, sparsegpt, wanda_mask
from torch import nn
from torch.nn import functional

from lottoc.diagnostics import Findings, LottoError
from lottoc.driver import begin, compile_recipe, mask_ir
from lottoc.engine.evaluate import Engine
from lottoc.engine.store import Store
from lottoc.front import Request
from lottoc.frontends.onnx_model import open_onnx
from lottoc.ir import lotto
from lottoc.progress import Silent
from lottoc.training.state import State

NETS = """
import torch
from torch import nn
from torch.nn import functional

class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(16, 32), nn.Linear(16, 32), nn.Linear(32, 4)

    def forward(self, x):
        return self.c(torch.tanh(self.a(x)) * self.b(x))

class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(4, 8, 3, padding=1, stride=2)
        self.b = nn.Conv2d(8, 8, (1, 3), padding="same", dilation=2)
        self.c = nn.Linear(8, 4)

    def forward(self, x):
        x = torch.relu(self.b(torch.relu(self.a(x))))
        return self.c(x.mean((2, 3)))

class ByHand(Mlp):
    def forward(self, x):
        return functional.linear(torch.tanh(self.a(x)), self.c.weight)

class Grouped(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.c = nn.Conv2d(4, 4, 3, groups=2), nn.Linear(4, 4)

    def forward(self, x):
        return self.c(self.a(x).mean((2, 3)))

class Branch(Mlp):
    def forward(self, x):
        if len(x) > 2 and x[:, 0].mean() > 0:
            return self.c(torch.tanh(self.b(x)) * self.a(x))
        return super().forward(x)

class Fails(Mlp):
    def forward(self, x):
        return self.c(self.a(x).reshape(7, -1))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw = np.random.default_rng(5)
    (tmp_path / "net.py").write_text(NETS)
    y = np.arange(60) % 4
    np.savez(tmp_path / "flat.npz", x=draw.standard_normal((60, 16)).astype(np.float32), y=y)
    images = draw.standard_normal((60, 4, 9, 7)).astype(np.float32)
    np.savez(tmp_path / "images.npz", x=images, y=y)
    return tmp_path


def recipe(net: str, ticket: str, data: str = "flat.npz") -> str:
    return textwrap.dedent(
        f"""
        model net {{ source = torch("net.py:{net}") }}
        data d {{ train = npz("{data}") }}
        ticket t {{ {ticket} }}
        """
    )


def engine_of(folder: Path, text: str, store: str = "store") -> tuple[Engine, lotto.TicketOp]:
    (folder / "r.lotto").write_text(text)
    request = Request(folder / "r.lotto", Store(folder / store), {}, Silent())
    module = mask_ir(begin(request, Findings()).module)
    engine = Engine(request.store, request.progress)
    engine.run(module)
    (ticket,) = (op for op in module.ops if isinstance(op, lotto.TicketOp) if op.masks)
    return engine, ticket


def initial(engine: Engine, ticket: lotto.TicketOp) -> State:
    block = ticket.parent_block()
    assert block is not None
    (op,) = (o for o in block.ops if isinstance(o, lotto.InitOp))
    state: State = engine.value(op.result)
    return state


def compile_(folder: Path, text: str, store: str = "store") -> None:
    (folder / "r.lotto").write_text(text)
    request = Request(folder / "r.lotto", Store(folder / store), {}, Silent())
    compile_recipe(request, folder / "out", Findings())


def refusal(folder: Path, text: str) -> tuple[str, str]:
    with pytest.raises(LottoError) as caught:
        compile_(folder, text)
    first = caught.value.diagnostics[0]
    return first.code, first.message


def examples(folder: Path, data: str) -> torch.Tensor:
    with np.load(folder / data) as arrays:
        return torch.from_numpy(arrays["x"])


def patches(x: torch.Tensor, conv: nn.Conv2d) -> np.ndarray:
    """By torch's own unfold, [rows, in · places]."""
    x = functional.pad(x, conv._reversed_padding_repeated_twice)
    found = functional.unfold(x, conv.kernel_size, conv.dilation, 0, conv.stride)
    return found.transpose(1, 2).reshape(-1, found.shape[1]).double().numpy()


def wanda_by_hand(weight: np.ndarray, rows: np.ndarray, nm: tuple[int, int]) -> np.ndarray:
    """The paper's mask of a convolution: groups of channels, place by place of the kernel."""
    mask = np.empty(weight.shape, bool)
    columns = rows.reshape(len(rows), weight.shape[1], -1)
    flat = weight.reshape(*weight.shape[:2], -1)
    for place in range(flat.shape[2]):
        found = wanda_mask(flat[:, :, place], columns[:, :, place], nm=nm)
        mask.reshape(flat.shape)[:, :, place] = found
    return mask


def test_wanda_masks_are_exactly_the_papers(folder: Path) -> None:
    text = recipe("Convolutions", "layers = all  criterion = wanda  pattern = 2:4", "images.npz")
    engine, ticket = engine_of(folder, text)
    masks, state = engine.value(ticket.masks), initial(engine, ticket)
    net = module_of(folder, "Convolutions", state)
    x = examples(folder, "images.npz")
    with torch.no_grad():
        first = torch.relu(net.a(x))
        second = torch.relu(net.b(first)).mean((2, 3)).double().numpy()
    expected = {
        "a": wanda_by_hand(state.layer("a"), patches(x, net.a), (2, 4)),
        "b": wanda_by_hand(state.layer("b"), patches(first, net.b), (2, 4)),
        "c": wanda_mask(state.layer("c"), second, nm=(2, 4)),
    }
    for name, mask in expected.items():
        np.testing.assert_array_equal(masks[name].to_bool(), mask)


def module_of(folder: Path, net: str, state: State) -> nn.Module:
    from lottoc.frontends.torch_model import open_torch
    from lottoc.training.module import load_model

    module = open_torch(folder / "net.py", net).build(0)
    load_model(module, state)
    return module.eval()


def found_weights(engine: Engine, ticket: lotto.TicketOp) -> State:
    block = ticket.parent_block()
    assert block is not None
    (op,) = (o for o in block.ops if isinstance(o, lotto.ReconstructOp))
    state: State = engine.value(op.result)
    return state


def test_sparsegpt_sees_what_the_pruned_layers_before_it_make(folder: Path) -> None:
    text = recipe("Mlp", "layers = linear  criterion = sparsegpt  pattern = 2:4")
    engine, ticket = engine_of(folder, text)
    state, found = initial(engine, ticket), found_weights(engine, ticket)
    masks, x = engine.value(ticket.masks), examples(folder, "flat.npz")
    pruned = module_of(folder, "Mlp", found)
    with torch.no_grad():
        middle = (torch.tanh(pruned.a(x)) * pruned.b(x)).double().numpy()
    rows = {"a": x.numpy(), "b": x.numpy(), "c": middle}
    for name, inputs in rows.items():
        reference, _ = sparsegpt(state.layer(name), inputs, nm=(2, 4))
        error = output_error(state.layer(name), found.layer(name), inputs)
        wanted = output_error(state.layer(name), reference, inputs)
        assert error == pytest.approx(wanted, rel=0.01)
        assert (found.layer(name)[~masks[name].to_bool()] == 0).all()
    other = [name for name in state.arrays if name.endswith("bias")]
    assert len(other) == 3
    for name in other:
        np.testing.assert_array_equal(found.arrays[name], state.arrays[name])


@pytest.mark.parametrize("how", ["pattern = 2:4", "sparsity = 50%   scope = layerwise"])
def test_sparsegpt_of_convolutions_is_that_of_their_patches(folder: Path, how: str) -> None:
    text = recipe("Convolutions", f"layers = conv  criterion = sparsegpt  {how}", "images.npz")
    engine, ticket = engine_of(folder, text)
    state, found = initial(engine, ticket), found_weights(engine, ticket)
    net, x = module_of(folder, "Convolutions", found), examples(folder, "images.npz")
    with torch.no_grad():
        given_to = {"a": x, "b": torch.relu(net.a(x))}
    options = {"nm": (2, 4)} if "2:4" in how else {"share": 0.5}
    for name, inputs in given_to.items():
        weight = state.layer(name)
        channels = patches(inputs, getattr(net, name)).reshape(
            -1, weight.shape[1], weight[0, 0].size
        )
        rows = channels.transpose(0, 2, 1).reshape(len(channels), -1)
        matrix = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1)
        reference, _ = sparsegpt(matrix, rows, **options)
        ours = found.layer(name).transpose(0, 2, 3, 1).reshape(len(weight), -1)
        wanted = output_error(matrix, reference, rows)
        assert output_error(matrix, ours, rows) == pytest.approx(wanted, rel=0.01)
        assert np.count_nonzero(ours) == weight.size // 2


@pytest.mark.parametrize("pattern", ["unstructured", "groups(4)", "fanin", "rows", "2:4"])
@pytest.mark.parametrize("criterion", ["wanda", "obs", "sparsegpt"])
def test_patterns_hold_on_convolutions(folder: Path, criterion: str, pattern: str) -> None:
    share = "" if pattern == "2:4" else "sparsity = 50%"
    ticket = f"layers = all  criterion = {criterion}  scope = uniform  pattern = {pattern}  {share}"
    engine, found = engine_of(folder, recipe("Convolutions", ticket, "images.npz"))
    masks = engine.value(found.masks)
    size = sum(mask.size for mask in masks.values())
    kept = sum(mask.kept for mask in masks.values())
    assert kept == pytest.approx(size / 2, rel=0.15)
    if criterion == "sparsegpt":
        weights = found_weights(engine, found)
        for name, mask in masks.items():
            np.testing.assert_array_equal(weights.layer(name) != 0, mask.to_bool())


def test_what_is_solved_is_trained_on_and_shipped(folder: Path) -> None:
    text = recipe(
        "Convolutions", "layers = all  criterion = sparsegpt  pattern = 2:4", "images.npz"
    )
    engine, ticket = engine_of(folder, text)
    found = found_weights(engine, ticket)
    emits = 'emit onnx "a.onnx" { ticket = t   format = dense }\n'
    emits += 'emit fx "a.pt2" { ticket = t   format = dense }\n'
    compile_(folder, text + emits)
    written = open_onnx(folder / "out" / "a.onnx")
    from lottoc.runtime.load import read

    program, _ = read(folder / "out" / "a.pt2")
    for name in "abc":
        np.testing.assert_array_equal(written.layer(name), found.layer(name))
        np.testing.assert_array_equal(
            program.state_dict[f"{name}.weight"].detach(), found.layer(name)
        )
    training = "training s { optimizer = sgd(lr = 0.1)   batch = 20   length = 3 steps }\n"
    engine, ticket = engine_of(folder, text + training)
    trained = engine.value(ticket.weights)
    masks = engine.value(ticket.masks)
    assert trained.step == 3
    for name in "abc":
        assert not np.array_equal(trained.layer(name), found.layer(name))
        assert (trained.layer(name)[~masks[name].to_bool()] == 0).all()


def test_rounds_look_at_the_network_under_its_masks(folder: Path) -> None:
    training = "training s { optimizer = sgd(lr = 0.1)   batch = 20   length = 3 steps }\n"
    ticket = "layers = linear  criterion = wanda  sparsity = 75%  method = imp(rounds = 2)"
    engine, found = engine_of(folder, recipe("Mlp", ticket) + training)
    block = found.parent_block()
    assert block is not None
    first, second = (op for op in block.ops if isinstance(op, lotto.GatherOp))
    assert second.masks is not None
    masks = engine.value(second.masks)
    squares = engine.value(second.result)
    net = module_of(folder, "Mlp", engine.value(second.weights))
    with torch.no_grad():
        for name, mask in masks.items():
            getattr(net, name).weight.mul_(torch.from_numpy(mask.to_bool()))
        x = examples(folder, "flat.npz")
        middle = (torch.tanh(net.a(x)) * net.b(x)).double().numpy()
    np.testing.assert_allclose(squares["c"], (middle**2).mean(0), rtol=1e-5)
    assert not np.allclose(squares["c"], engine.value(first.result)["c"], rtol=1e-3)


def test_equal_bytes_for_equal_inputs_on_any_number_of_threads(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = recipe(
        "Convolutions", "layers = all  criterion = sparsegpt  pattern = 2:4", "images.npz"
    )
    text += 'emit onnx "a.onnx" { ticket = t }\n'
    monkeypatch.setattr("lottoc.layerwise.torch_batches._NUMBERS", 2000)  # several batches
    written = []
    for count in (1, 3):
        monkeypatch.setattr("os.cpu_count", lambda count=count: count)
        compile_(folder, text, f"store{count}")
        written.append((folder / "out" / "a.onnx").read_bytes())
    assert written[0] == written[1]


def test_a_layer_that_runs_twice_keeps_its_weights(folder: Path) -> None:
    (folder / "net.py").write_text(
        NETS + "\nclass Twice(Mlp):\n    def forward(self, x):\n"
        "        return self.c(self.a(x) + self.a(2 * x))\n"
    )
    ticket = 'layers = "a"  criterion = {}  pattern = 2:4'
    code, said = refusal(folder, recipe("Twice", ticket.format("sparsegpt")))
    assert (code, '"a" runs more than once' in said) == ("layer-reused", True)
    engine_of(folder, recipe("Twice", ticket.format("wanda")))


@pytest.mark.parametrize(
    ("net", "layers", "data", "code"),
    [
        ("ByHand", "linear", "flat.npz", "layer-not-called"),
        ("ByHand", '"c"', "flat.npz", "layer-not-called"),
        ("Grouped", "all", "images.npz", "layer-grouped"),
        ("Fails", "linear", "flat.npz", "model-data-shape"),
        ("Mlp", "linear", "images.npz", "model-data-shape"),
    ],
)
def test_refused(folder: Path, net: str, layers: str, data: str, code: str) -> None:
    ticket = f"layers = {layers}  criterion = wanda  sparsity = 50%"
    found, said = refusal(folder, recipe(net, ticket, data))
    assert found == code
    assert code == "model-data-shape" or '"c"' in said or '"b"' in said or '"a"' in said


def test_other_layers_for_other_examples_are_refused(folder: Path) -> None:
    draw = np.random.default_rng(0).standard_normal((1 << 14) * 2 * 16).reshape(-1, 16)
    draw[: 1 << 14, 0], draw[1 << 14 :, 0] = -1, 1
    np.savez(folder / "flat.npz", x=draw.astype(np.float32), y=np.zeros(len(draw), np.int64))
    ticket = "layers = linear  criterion = wanda  pattern = 2:4"
    assert refusal(folder, recipe("Branch", ticket))[0] == "control-flow"


def test_other_data_than_two_arrays(folder: Path) -> None:
    base = recipe("Mlp", "layers = linear  criterion = wanda  pattern = 2:4")
    whole = engine_of(folder, base)
    named = base.replace(
        "train = npz", "train = npz('flat.npz')  calibration = npz".replace("'", '"')
    )
    one = named.replace('calibration = npz("flat.npz")', 'calibration = npz("flat.npz", any = "x")')
    other = engine_of(folder, one)
    masks = [engine.value(ticket.masks) for engine, ticket in (whole, other)]
    assert all(masks[0][name] == masks[1][name] for name in "abc")
    two = one.replace('any = "x"', 'any = "x", more = "y"')
    assert refusal(folder, two) == (
        "model-data-shape",
        "a torch model is given one array, and the data names 2",
    )


@pytest.mark.parametrize("criterion", ["wanda", "obs", "sparsegpt"])
def test_activations_that_are_not_finite(folder: Path, criterion: str) -> None:
    (folder / "net.py").write_text(
        NETS + "\nclass Overflows(Mlp):\n    def forward(self, x):\n"
        "        return self.c(self.a(x) * 1e30 * 1e30)\n"
    )
    ticket = f'layers = "c"  criterion = {criterion}  pattern = 2:4'
    code, said = refusal(folder, recipe("Overflows", ticket))
    assert code == "activations-not-finite"
    assert '"c"' in said
