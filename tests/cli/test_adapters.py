"""Two tasks one after another: `emit adapter`, `lottoc apply`, `lottoc unapply`, bit by bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

import lottoc
from lottoc.cli import app
from lottoc.diagnostics import InputError

NET = """
from torch import nn

def net():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.BatchNorm1d(16), nn.Linear(16, 4))

class Inside(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.head = net(), nn.Linear(4, 2)
"""
RECIPE = """
model m { source = torch("net.py:net") }
data one { train = npz("one.npz", x = "x", y = "y")   test = npz("one.npz", x = "x", y = "y") }
data two { train = npz("two.npz", x = "x", y = "y")   test = npz("two.npz", x = "x", y = "y") }
training loop { optimizer = adamw(lr = 0.01)   batch = 10   length = 20 steps }
ticket task { layers = all   sparsity = 60%   method = lota(calibrate = 8 steps)   data = one }
ticket next { like = task   data = two   exclude = task.mask }
emit adapter "task.safetensors" { ticket = task }
emit adapter "next.safetensors" { ticket = next }
emit onnx "next.onnx" { ticket = next }
"""


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both adapters in `out`, and the network's start as `base.safetensors`."""
    from lottoc.frontends.torch_model import open_torch

    path = tmp_path_factory.mktemp("adapters")
    for name, seed in (("one", 0), ("two", 1)):
        stream = np.random.default_rng(seed)
        x, y = stream.normal(size=(40, 8)).astype(np.float32), stream.integers(0, 4, 40)
        np.savez(path / f"{name}.npz", x=x, y=y)
    (path / "net.py").write_text(NET)
    (path / "r.lotto").write_text(RECIPE)
    done = run("compile", path / "r.lotto", "-o", path / "out", "--store", path / "store")
    assert done.exit_code == 0, done.output
    start = open_torch(path / "net.py", "net").build(0).state_dict()
    save_file({n: t.numpy() for n, t in start.items()}, path / "base.safetensors", {"of": "me"})
    return path


@pytest.fixture(autouse=True)
def _here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("task.safetensors", "next.safetensors"):
        Path(name).write_bytes((made / "out" / name).read_bytes())
    for name in ("base.safetensors", "net.py"):
        Path(name).write_bytes((made / name).read_bytes())


def test_the_report_tells_of_them(made: Path) -> None:
    report = json.loads((made / "out" / "report.json").read_text())
    task, _, _ = sorted(report["artefacts"], key=lambda a: a["path"] != "task.safetensors")
    assert task["kind"] == "adapter"
    assert task["verified"]["moved"] == sum(layer["kept"] for layer in task["layers"])
    assert sum(layer["kept"] for layer in task["layers"]) == 192 - int(0.6 * 192)
    assert task["dense_bytes"] == sum(
        a.nbytes for a in load_file(made / "base.safetensors").values()
    )


def test_what_is_inside_is_shown() -> None:
    done = run("inspect", "task.safetensors", "--format", "json")
    assert done.exit_code == 0, done.output
    layers = json.loads(done.stdout)["layers"]
    assert [(x["name"], x["shape"], x["format"]) for x in layers] == [
        ("0", [16, 8], "xor"),
        ("3", [4, 16], "xor"),
    ]
    assert sum(x["kept"] for x in layers) == 77
    for layer in layers:
        assert layer["bytes"] == layer["weights"] // 8 + 4 * layer["kept"]
    assert "77 of 192 weights move, 40.10%" in run("inspect", "task.safetensors").output
    assert "error[adapter-invalid]" in run("inspect", "base.safetensors").stderr


def test_a_file_there_and_back() -> None:
    done = run("apply", "base.safetensors", "task.safetensors", "-o", "new.safetensors")
    assert done.exit_code == 0, done.output
    assert "1 adapter applied, 77 weights in 2 tensors" in done.output
    base, new = load_file("base.safetensors"), load_file("new.safetensors")
    changed = sum(int((base[n] != new[n]).sum()) for n in base)
    assert 70 < changed <= 77
    assert base["0.bias"].tobytes() == new["0.bias"].tobytes()
    done = run("unapply", "new.safetensors", "task.safetensors", "-o", "old.safetensors")
    assert done.exit_code == 0, done.output
    assert Path("old.safetensors").read_bytes() == Path("base.safetensors").read_bytes()


def test_two_tasks_in_any_order_are_what_the_second_training_ended_with(made: Path) -> None:
    both = ["task.safetensors", "next.safetensors"]
    assert run("apply", "base.safetensors", *both, "-o", "a.safetensors").exit_code == 0
    assert run("apply", "base.safetensors", *both[::-1], "-o", "b.safetensors").exit_code == 0
    assert Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()
    assert run("unapply", "a.safetensors", *both, "-o", "c.safetensors").exit_code == 0
    assert run("unapply", "a.safetensors", *both[::-1], "-o", "d.safetensors").exit_code == 0
    for name in ("c.safetensors", "d.safetensors"):
        assert Path(name).read_bytes() == Path("base.safetensors").read_bytes()

    import onnxruntime

    from lottoc.frontends.torch_model import open_torch

    net = open_torch(Path("net.py"), "net").build(0).eval()
    net.load_state_dict({n: torch.from_numpy(a) for n, a in load_file("a.safetensors").items()})
    x = np.random.default_rng(2).normal(size=(6, 8)).astype(np.float32)
    session = onnxruntime.InferenceSession(made / "out" / "next.onnx")
    expected = session.run(None, {session.get_inputs()[0].name: x})[0]
    with torch.no_grad():
        np.testing.assert_allclose(net(torch.from_numpy(x)).numpy(), expected, atol=1e-5)


def test_in_place(tmp_path: Path) -> None:
    before = Path("base.safetensors").read_bytes()
    assert (
        run("apply", "base.safetensors", "task.safetensors", "-o", "base.safetensors").exit_code
        == 0
    )
    assert Path("base.safetensors").read_bytes() != before
    again = run("unapply", "base.safetensors", "task.safetensors", "-o", "base.safetensors")
    assert again.exit_code == 0
    assert Path("base.safetensors").read_bytes() == before


def test_a_folder_with_a_network_inside_another() -> None:
    """Shards, a prefix before every name, and what else lies there."""
    base = load_file("base.safetensors")
    Path("model").mkdir()
    names = sorted(base)
    for index, part in enumerate((names[:3], names[3:])):
        save_file({f"net.{n}": base[n] for n in part}, f"model/model-{index}.safetensors")
    Path("model/config.json").write_text("{}")
    Path("model/pooling/deep").mkdir(parents=True)
    Path("model/pooling/deep/config.json").write_text("[]")
    assert run("apply", "model", "task.safetensors", "next.safetensors", "-o", "new").exit_code == 0
    assert Path("new/config.json").read_text() == "{}"
    assert Path("new/pooling/deep/config.json").read_text() == "[]"
    changed = [
        f
        for f in sorted(Path("model").glob("*.*"))
        if f.read_bytes() != Path("new", f.name).read_bytes()
    ]
    assert [f.name for f in changed] == ["model-0.safetensors", "model-1.safetensors"]
    assert run("unapply", "new", "next.safetensors", "task.safetensors", "-o", "old").exit_code == 0
    for file in Path("model").glob("*.*"):
        assert file.read_bytes() == Path("old", file.name).read_bytes()


def test_what_a_function_builds() -> None:
    done = run(
        "apply", "net.py:net", "task.safetensors", "-o", "new.safetensors", "--format", "json"
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["moved"] == 77
    assert (
        run("apply", "base.safetensors", "task.safetensors", "-o", "same.safetensors").exit_code
        == 0
    )
    new, same = load_file("new.safetensors"), load_file("same.safetensors")
    assert {n: a.tobytes() for n, a in new.items()} == {n: a.tobytes() for n, a in same.items()}


def test_what_a_function_builds_from_another_seed(made: Path) -> None:
    for name in ("one.npz", "two.npz"):
        Path(name).write_bytes((made / name).read_bytes())
    Path("r.lotto").write_text(RECIPE.replace('net.py:net")', 'net.py:net")   seed = 5'))
    done = run("compile", "r.lotto", "-o", "seeded", "--store", made / "store")
    assert done.exit_code == 0, done.output
    adapter = "seeded/task.safetensors"
    wrong = run("apply", "net.py:net", adapter, "-o", "new.safetensors")
    assert wrong.exit_code == 3
    assert "error[adapter-mismatch]" in wrong.stderr
    done = run("apply", "net.py:net", adapter, "-o", "new.safetensors", "--seed", "5")
    assert done.exit_code == 0, done.output


def test_a_module_in_memory() -> None:
    from lottoc.frontends.torch_model import open_torch

    inside: Any = open_torch(Path("net.py"), "Inside").build(0)
    start = open_torch(Path("net.py"), "net").build(0)
    inside.net.load_state_dict(start.state_dict())
    before = {n: t.clone() for n, t in inside.state_dict().items()}
    lottoc.apply(inside, "task.safetensors", "next.safetensors")
    assert not torch.equal(inside.net[0].weight, before["net.0.weight"])
    with pytest.raises(InputError, match=r"adapter-mismatch.*\n.*\n.*it is applied already"):
        lottoc.apply(inside, "task.safetensors")
    lottoc.unapply(inside, "task.safetensors")
    lottoc.unapply(inside, "next.safetensors")
    for name, tensor in inside.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("apply new.safetensors task.safetensors", "adapter-mismatch", "it is applied already"),
        ("unapply base.safetensors task.safetensors", "adapter-mismatch", "it is not applied"),
        ("apply other.safetensors task.safetensors", "adapter-mismatch", "that it was made from"),
        ("unapply later.safetensors task.safetensors", "adapter-mismatch", "take back what was"),
        (
            "apply half.safetensors task.safetensors",
            "adapter-mismatch",
            "is float16[16, 8], not float32",
        ),
        ("apply task.safetensors task.safetensors", "adapter-mismatch", "there is none"),
        ("apply base.safetensors base.safetensors", "adapter-invalid", "emit adapter"),
        ("apply base.pt task.safetensors", "adapter-base", "net.py:function"),
        ("apply empty task.safetensors", "adapter-base", "net.py:function"),
        ("apply none.safetensors task.safetensors", "model-not-found", "cannot read"),
        ("apply none task.safetensors", "model-not-found", "a folder with such files"),
        ("apply net.py:nothing task.safetensors", "torch-function", "nothing"),
        ("apply base.safetensors none.safetensors", "model-not-found", "cannot read"),
    ],
)
def test_refusals_write_nothing(command: str, code: str, said: str) -> None:
    assert (
        run("apply", "base.safetensors", "task.safetensors", "-o", "new.safetensors").exit_code == 0
    )
    base = load_file("base.safetensors")
    save_file({n: a + 1 if n == "3.weight" else a for n, a in base.items()}, "other.safetensors")
    save_file({n: a.astype(np.float16) for n, a in base.items()}, "half.safetensors")
    new = load_file("new.safetensors")
    save_file({n: a + 1 if n == "3.weight" else a for n, a in new.items()}, "later.safetensors")
    Path("base.pt").write_bytes(b"pickle")
    Path("empty").mkdir()
    done = run(*command.split(), "-o", "out.safetensors")
    assert done.exit_code == 3
    assert f"error[{code}]" in done.stderr
    assert said in done.stderr
    assert not Path("out.safetensors").exists()


def test_equal_builds_give_equal_bytes(made: Path) -> None:
    done = run("compile", made / "r.lotto", "-o", made / "again", "--store", made / "store2")
    assert done.exit_code == 0, done.output
    for name in ("task.safetensors", "next.safetensors"):
        assert (made / "again" / name).read_bytes() == (made / "out" / name).read_bytes()


def test_no_weight_is_in_two_of_them(made: Path) -> None:
    from lottoc.adapters.file import load

    task, after = load(made / "out" / "task.safetensors"), load(made / "out" / "next.safetensors")
    for name, change in task.changes.items():
        assert not (change.mask.to_bool() & after.changes[name].mask.to_bool()).any()
    assert task.moved == after.moved == 77
