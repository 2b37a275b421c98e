"""The recipes of `examples/sequences`, on smaller networks and images: from text to artefacts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

import lottoc
from lottoc.adapters.file import load
from lottoc.backends.onnx.contents import inspect
from lottoc.cli import app
from lottoc.frontends.data import Arrays
from lottoc.frontends.torch_model import open_torch
from lottoc.signature import parameter_of
from lottoc.training.loop import train
from lottoc.training.spec import TrainingSpec

EXAMPLES = Path(__file__).parents[2] / "examples" / "sequences"


def images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright row, which says the class."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 10
    x = draw.random((count, 28, 28)) / 4
    x[np.arange(count), 2 * labels + 3] += 0.7
    return (255 * x).clip(0, 255).astype(np.uint8).reshape(count, 784), labels


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    x_train, y_train = images(400, 0)
    x_test, y_test = images(100, 1)
    (tmp_path / "lenet").mkdir()
    known = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    np.savez(tmp_path / "lenet" / "mnist.npz", **known)
    (tmp_path / "sequences").mkdir()
    nets = (EXAMPLES / "sequences.py").read_text().replace("width: int = 64", "width: int = 16")
    (tmp_path / "sequences" / "sequences.py").write_text(nets)
    monkeypatch.chdir(tmp_path / "sequences")
    monkeypatch.setenv("LOTTOC_STORE", str(tmp_path / "store"))
    return tmp_path / "sequences"


def compiled(folder: Path, name: str, steps: int) -> dict[str, Any]:
    """The report of a recipe on a narrow network, trained for few steps."""
    text = (EXAMPLES / f"{name}.lotto").read_text()
    text = (
        text.replace("accuracy - 2%", "accuracy - 60%")
        .replace("rewind = 100 steps", "rewind = 10 steps")
        .replace("lr = 0.001", "lr = 0.01")
    )
    (folder / "r.lotto").write_text(text.replace("rounds = 4", "rounds = 2"))
    run("compile", "r.lotto", "-o", "out", "-q", "-D", f"end={steps} steps")
    report: dict[str, Any] = json.loads((folder / "out" / "report.json").read_text())
    return report


def check(folder: Path, name: str, report: dict[str, Any]) -> None:
    """As many weights are pruned as asked for; both artefacts are one network, with the zeros."""
    layers = {layer["name"]: layer for layer in report["tickets"]["winning"]["layers"]}
    total = sum(layer["kept"] for layer in layers.values())
    size = sum(np.prod(layer["shape"]) for layer in layers.values())
    assert total == size - int(0.8 * size)
    x = images(7, 2)[0].astype(np.float32) / 255
    session = onnxruntime.InferenceSession(str(folder / "out" / f"{name}.onnx"))
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    program = lottoc.load(folder / "out" / f"{name}.pt2")
    with torch.no_grad():
        again = program(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, again, rtol=1e-4, atol=1e-5)
    for artefact in report["artefacts"]:
        written = {layer["name"]: layer for layer in artefact["layers"]}
        assert written.keys() == layers.keys()
        assert {n: layer["kept"] for n, layer in written.items()} == {
            n: layer["kept"] for n, layer in layers.items()
        }
        assert artefact["verified"]["layers"] == len(layers)
    shown = {row.layer.name: row for row in inspect(folder / "out" / f"{name}.onnx")}
    assert shown.keys() >= layers.keys()
    assert all(shown[n].nonzeros <= layer["kept"] for n, layer in layers.items())


def test_transformer(folder: Path) -> None:
    report = compiled(folder, "transformer", 30)
    projections = [f"encoder.layers.{i}.self_attn.in_proj_weight" for i in (0, 1)]
    layers = {layer["name"] for layer in report["tickets"]["winning"]["layers"]}
    assert layers > set(projections)
    assert not layers & {"embed", "head"}
    check(folder, "transformer", report)


def test_lstm(folder: Path) -> None:
    report = compiled(folder, "lstm", 30)
    layers = [layer["name"] for layer in report["tickets"]["winning"]["layers"]]
    assert layers == ["memory.weight_ih_l0", "memory.weight_hh_l0"]
    check(folder, "lstm", report)


@pytest.mark.parametrize(
    ("name", "layers"),
    [("lstm", "recurrent"), ("transformer", "attention")],
)
def test_adapters(folder: Path, name: str, layers: str) -> None:
    text = (EXAMPLES / f"{name}.lotto").read_text()
    head = text[: text.index("ticket winning")]
    (folder / "r.lotto").write_text(
        head
        + f"ticket task {{ layers = {layers}  sparsity = 90%  method = lota(calibrate = 5 steps) }}"
        + 'emit adapter "task.safetensors" { ticket = task }'
    )
    run("compile", "r.lotto", "-o", "out", "-q", "-D", "end=10 steps")
    model = open_torch(folder / "sequences.py", name)
    names = {layer.name for layer in model.signature() if layer.kind == layers}
    changed = load(folder / "out" / "task.safetensors").changes
    assert changed.keys() == names
    module = model.build(0)
    lottoc.apply(module, folder / "out" / "task.safetensors")
    moved = dict(module.named_parameters())
    count = {n: int((moved[n] != p).sum()) for n, p in model.build(0).named_parameters()}
    size = sum(moved[n].numel() for n in names)
    assert 0.08 * size < sum(count[n] for n in names) <= 0.1 * size + 1
    assert not any(count[n] for n in count.keys() - names)


@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_weights_are_drawn_anew_as_their_modules_draw_them(name: str) -> None:
    model = open_torch(EXAMPLES / "sequences.py", name)
    found = {layer.name: model.initial_state(1).layer(layer.name) for layer in model.signature()}
    torch.manual_seed(1)
    drawn = dict(model.make().named_parameters())
    for layer, weight in found.items():
        assert np.array_equal(weight, drawn[parameter_of(layer, drawn)].detach().numpy())
        if "in_proj" in layer:  # Xavier's bound of the packed matrix
            bound = (6 / sum(weight.shape)) ** 0.5
        elif "weight_" in layer:
            bound = 64**-0.5
        else:
            continue
        assert 0.98 * bound < np.abs(weight).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("method", ["one_shot", "rigl(every = 2 steps)"])
@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_attached(folder: Path, name: str, method: str) -> None:
    model = open_torch(folder / "sequences.py", name).build(3)
    lines = f"layers = all  sparsity = 80%  criterion = random  method = {method}"
    (folder / "sparse.lotto").write_text(f"ticket sparse {{ {lines} }}")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    ticket = lottoc.attach(model, folder / "sparse.lotto", "sparse", steps=6)
    x, y = images(40, 0)
    for _ in range(6):
        optimizer.zero_grad()
        outputs = model(torch.from_numpy(x).float() / 255)
        torch.nn.functional.cross_entropy(outputs, torch.from_numpy(y)).backward()
        optimizer.step()
    named = dict(model.named_parameters())
    for layer, mask in ticket.masks.items():
        weight = named[parameter_of(layer, named)].detach()
        assert not weight[~mask].any()
        assert weight[mask].any()


@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_a_training_cut_in_two_is_the_same(name: str) -> None:
    model, (x, y) = open_torch(EXAMPLES / "sequences.py", name), images(64, 0)
    data = Arrays(x.astype(np.float32) / 255, y)
    spec = TrainingSpec(optimizer="adam", lr=1e-3, batch=16, steps=8)
    draw, start = np.random.default_rng(1), model.initial_state(0)
    masks = {layer.name: draw.random(layer.shape) < 0.5 for layer in model.signature()}
    whole = train(model.build(0), start, data, spec, start=0, stop=8, masks=masks)
    half = train(model.build(0), start, data, spec, start=0, stop=4, masks=masks)
    rest = train(model.build(0), half, data, spec, start=4, stop=8, masks=masks, optimizer="keep")
    assert whole.arrays.keys() == rest.arrays.keys()
    assert all(np.array_equal(whole.arrays[key], rest.arrays[key]) for key in whole.arrays)


def test_an_lstm_that_forgets_its_input(folder: Path) -> None:
    (folder / "r.lotto").write_text("""
        model net { source = torch("sequences.py:lstm") }
        data d { train = npz("../lenet/mnist.npz", x = "x_train", y = "y_train") }
        ticket t { layers = "*weight_ih*"  sparsity = 100%  on_collapse = error }
        emit onnx "m.onnx" { ticket = t }
    """)
    result = CliRunner().invoke(app, ["compile", "r.lotto", "-o", "out", "-q"])
    assert (result.exit_code, "layer-collapse" in result.output) == (2, True), result.output


BY_HAND = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(784, 8), nn.Linear(8, 10)

    def forward(self, x):
        return self.b(nn.functional.linear(x, self.a.weight * 2))

def net():
    return Net()
"""


def test_a_weight_that_is_not_multiplied_as_it_is(folder: Path) -> None:
    (folder / "hand.py").write_text(BY_HAND)
    recipe = """
        model net {{ source = torch("hand.py:net") }}
        data d {{ train = npz("../lenet/mnist.npz", x = "x_train", y = "y_train") }}
        ticket t {{ layers = {}  sparsity = 50% }}
        emit onnx "m.onnx" {{ ticket = t }}
    """
    (folder / "r.lotto").write_text(recipe.format("all"))
    result = CliRunner().invoke(app, ["compile", "r.lotto", "-o", "out", "-q"])
    assert (result.exit_code, "export-layer" in result.output) == (3, True), result.output
    (folder / "r.lotto").write_text(recipe.format('"b"'))
    run("compile", "r.lotto", "-o", "out", "-q")


TICKETS = {
    "wanda": "layers = linear - [first, last]  criterion = wanda  pattern = 2:4",
    "sparsegpt": "layers = linear - [first, last]  criterion = sparsegpt  sparsity = 50%",
    "grasp": "layers = all  criterion = grasp(samples = 20)  sparsity = 60%",
    "permuted": "layers = linear - [first, last]  pattern = permuted(2, 4)",
    "grouped": "layers = attention  pattern = groups(12)  sparsity = 50%",
}


@pytest.mark.parametrize("ticket", TICKETS)
def test_a_transformer_pruned_otherwise(folder: Path, ticket: str) -> None:
    both = ticket in ("sparsegpt", "grasp")
    program = 'emit fx "m.pt2" { ticket = t }' if both else ""
    (folder / "r.lotto").write_text(f"""
        model net {{ source = torch("sequences.py:transformer") }}
        data d {{ train = npz("../lenet/mnist.npz", x = "x_train", y = "y_train") }}
        ticket t {{ {TICKETS[ticket]} }}
        emit onnx "m.onnx" {{ ticket = t }}
        {program}
    """)
    run("compile", "r.lotto", "-o", "out", "-q")
    report = json.loads((folder / "out" / "report.json").read_text())
    layers = {layer["name"]: layer for layer in report["tickets"]["t"]["layers"]}
    assert "encoder.layers.0.self_attn.in_proj_weight" in layers
    shown = {row.layer.name: row for row in inspect(folder / "out" / "m.onnx")}
    kept = {n: shown[n].nonzeros for n in layers if "in_proj" in n}
    assert all(0 < n <= layers[name]["kept"] for name, n in kept.items())
    if not both:
        return
    x = images(7, 2)[0].astype(np.float32) / 255
    session = onnxruntime.InferenceSession(str(folder / "out" / "m.onnx"))
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    with torch.no_grad():
        again = lottoc.load(folder / "out" / "m.pt2")(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, again, rtol=1e-4, atol=1e-5)
