"""Torch models: built from a seed, exported under their own names, refused with reasons."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from lottoc.diagnostics import InputError
from lottoc.frontends.onnx_model import open_onnx
from lottoc.frontends.torch_digest import torch_digest
from lottoc.frontends.torch_model import open_torch
from lottoc.training.module import load_model

NETS = textwrap.dedent(
    """
    import copy
    import torch
    from torch import nn
    import torch.nn.functional as F

    def lenet():
        return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 4))

    class Conv(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(3, 8, 3, padding=1)
            self.bn = nn.BatchNorm2d(8)
            self.b = nn.Conv2d(8, 8, 3, groups=4, stride=2)
            self.head = nn.Linear(8, 5)

        def forward(self, x):
            x = F.relu(self.bn(self.a(x)))
            return self.head(F.relu(self.b(x)).mean((2, 3)))

    class Copies(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.bn = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
            self.b, self.c = copy.deepcopy(self.a), copy.deepcopy(self.a)
            self.fc, self.bn1 = nn.Linear(3, 3), nn.BatchNorm1d(3)
            self.head = copy.deepcopy(self.fc)

        def forward(self, x):
            x = torch.tanh(self.c(self.bn(self.b(torch.tanh(self.a(x))))))
            return self.head(self.bn1(self.fc(x.mean((2, 3)))))

    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.bn, self.b = nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)

        def forward(self, x):
            return self.b(torch.tanh(self.bn(self.a(x))))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.layer(x.reshape(x.shape[0], 4, 8)).mean(1))

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 3)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.c(F.relu(self.b(F.relu(self.a(x)))))

    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.idle = nn.Linear(12, 4), nn.Linear(12, 4)

        def forward(self, x):
            return self.a(x)

    class FixedBatch(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(12, 4)

        def forward(self, x):
            return self.a(x.reshape(2, 12))

    def number(): return 3
    def fails(): raise RuntimeError("no weights today")
    def leaves(): raise SystemExit(7)
    def deep(): return deep()
    def talks():
        print("hello from the model")
        return lenet()
    not_callable = 5
    """
)
SHAPES = {
    "lenet": (12,),
    "Conv": (3, 8, 8),
    "Copies": (3, 5, 5),
    "Normed": (12,),
    "Block": (32,),
    "Tied": (12,),
}


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nets") / "nets.py"
    path.write_text(NETS)
    return path


def examples(name: str, count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, *SHAPES.get(name, (12,)))).astype(np.float32)


def run(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    result: Any = session.run(None, {session.get_inputs()[0].name: x})[0]
    return result


@pytest.mark.parametrize("name", SHAPES)
def test_the_export_computes_what_torch_computes(nets: Path, tmp_path: Path, name: str) -> None:
    model = open_torch(nets, name)
    state = model.initial_state(3)
    for value in state.arrays.values():  # statistics and biases that matter
        if value.dtype == np.float32 and value.ndim == 1:
            value[:] = np.random.default_rng(1).random(value.shape) + 0.5
    model.export_onnx(state, examples(name, 2), tmp_path / "m.onnx")
    onnx.checker.check_model(str(tmp_path / "m.onnx"))
    module = model.build(0)
    load_model(module, state)
    for count in (1, 7):
        x = examples(name, count, seed=count)
        with torch.no_grad():
            expected = module.eval()(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(run(tmp_path / "m.onnx", x), expected, atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_layers_keep_their_names(nets: Path, tmp_path: Path, name: str) -> None:
    model = open_torch(nets, name)
    model.export_onnx(model.initial_state(0), examples(name, 2), tmp_path / "m.onnx")
    found = {layer.name: layer.shape for layer in open_onnx(tmp_path / "m.onnx").signature}
    missing = {x.name: x.shape for x in model.signature() if found.get(x.name) != x.shape}
    assert missing == {}


def test_the_signature(nets: Path) -> None:
    conv = [(x.name, x.kind, x.shape) for x in open_torch(nets, "Conv").signature()]
    assert conv == [
        ("a", "conv", (8, 3, 3, 3)),
        ("b", "conv", (8, 2, 3, 3)),
        ("head", "linear", (5, 8)),
    ]
    assert [x.name for x in open_torch(nets, "Tied").signature()] == ["a", "c"]


def test_an_unused_layer_is_left_out(nets: Path, tmp_path: Path) -> None:
    model = open_torch(nets, "Unused")
    model.export_onnx(model.initial_state(0), examples("Unused", 2), tmp_path / "m.onnx")
    assert [x.name for x in open_onnx(tmp_path / "m.onnx").signature] == ["a"]


def test_a_network_that_fixes_its_batch_is_refused(nets: Path, tmp_path: Path) -> None:
    model = open_torch(nets, "FixedBatch")
    with pytest.raises(InputError) as caught:
        model.export_onnx(model.initial_state(0), examples("FixedBatch", 2), tmp_path / "m.onnx")
    assert caught.value.diagnostics[0].code == "export-batch"
    model.export_onnx(model.initial_state(0), examples("FixedBatch", 1), tmp_path / "m.onnx", 2)
    assert run(tmp_path / "m.onnx", examples("FixedBatch", 2)).shape[0] == 2


def test_the_seed_alone_decides(nets: Path) -> None:
    model = open_torch(nets, "Conv")
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    before = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy())
    first = model.initial_state(5)
    after = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1])
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]
    assert np.array_equal(before[2], after[2])
    torch.manual_seed(99)
    second, third = model.initial_state(5), model.initial_state(6)
    assert all(np.array_equal(first.arrays[k], second.arrays[k]) for k in first.arrays)
    assert any(not np.array_equal(first.arrays[k], third.arrays[k]) for k in first.arrays)


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("nope", "torch-function", "nope"),
        ("not_callable", "torch-function", "not_callable"),
        ("number", "torch-not-a-module", "int"),
        ("fails", "torch-model", "no weights today"),
        ("leaves", "torch-model", "SystemExit"),
        ("deep", "torch-model", "RecursionError"),
    ],
)
def test_functions_that_build_no_network(nets: Path, name: str, code: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        open_torch(nets, name).build(0)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert said in diagnostic.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def net(:\n", "line 1"),
        ("import nothing_of_that_name\n", "nothing_of_that_name"),
        ("raise SystemExit\n", "SystemExit"),
        ("1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_files_that_do_not_run(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(InputError) as caught:
        open_torch(tmp_path / "bad.py", "net")
    assert caught.value.diagnostics[0].code == "torch-import"
    assert said in caught.value.diagnostics[0].message


def test_what_a_model_prints_stays_off_standard_output(
    nets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_torch(nets, "talks").build(0)
    out, err = capsys.readouterr()
    assert out == ""
    assert "hello from the model" in err


def test_two_files_may_have_neighbours_of_one_name(tmp_path: Path) -> None:
    for name, width in (("one", 3), ("two", 5)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "layers.py").write_text(f"WIDTH = {width}\n")
        (tmp_path / name / "net.py").write_text(
            "import torch\ndef net():\n    from layers import WIDTH\n"
            "    return torch.nn.Sequential(torch.nn.Linear(2, WIDTH))\n"
        )
    one = open_torch(tmp_path / "one" / "net.py", "net")
    two = open_torch(tmp_path / "two" / "net.py", "net")
    widths = [model.build(0)[0].out_features for model in (one, two, one)]  # type: ignore[index]
    assert widths == [3, 5, 3]


def test_the_digest_follows_what_the_file_uses(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import layers\nW = 'weights.bin'\n")
    (tmp_path / "layers.py").write_text("A = 1\n")
    (tmp_path / "weights.bin").write_bytes(b"1")
    (tmp_path / "other.py").write_text("B = 1\n")

    def digest() -> str:
        return torch_digest(tmp_path / "net.py", "net")

    first = digest()
    (tmp_path / "other.py").write_text("B = 2\n")
    assert digest() == first
    for name, content in (("layers.py", "A = 2\n"), ("weights.bin", "2"), ("net.py", "x = 1\n")):
        before = digest()
        (tmp_path / name).write_text(content)
        assert digest() != before
    assert torch_digest(tmp_path / "net.py", "other") != digest()


EXPORT = """
import sys
import numpy as np
from pathlib import Path
from lottoc.frontends.torch_model import open_torch
model = open_torch(Path(sys.argv[1]), "Conv")
sample = np.zeros((2, 3, 8, 8), np.float32)
model.export_onnx(model.initial_state(0), sample, Path(sys.argv[2]))
"""


def test_equal_bytes_in_every_process_and_silence(nets: Path, tmp_path: Path) -> None:
    contents = []
    for number, hashing in enumerate(("0", "123")):
        folder = tmp_path / f"w{number}"
        folder.mkdir()
        target = folder / "m.onnx"
        done = subprocess.run(
            [sys.executable, "-c", EXPORT, os.path.relpath(nets, folder), "m.onnx"],
            cwd=folder,
            env={**os.environ, "PYTHONHASHSEED": hashing},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        contents.append(target.read_bytes())
    assert contents[0] == contents[1]
    assert str(tmp_path).encode() not in contents[0]
    assert b"nets.py" not in contents[0]


def test_what_check_needs_loads_no_torch() -> None:
    modules = ["data", "torch_digest", "torch_model"]
    imports = "; ".join(f"import lottoc.frontends.{name}" for name in modules)
    imports += "; import lottoc.training.spec, lottoc.training.state, sys"
    code = f"{imports}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
