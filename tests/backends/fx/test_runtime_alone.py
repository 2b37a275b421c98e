"""A program runs where the compiler is not installed: with torch and `lottoc.runtime` alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import torch
from fx_networks import Mlp, network, sample

import lottoc
from lottoc.backends.fx.emit import emit

RUN = """
import sys

for name in {absent}:
    sys.modules[name] = None  # as if it were not installed
import torch
{imports}
torch.set_num_threads(1)
x = torch.load("x.pt")
model = torch.export.load({file!r}).module()
torch.save(model(x), "y.pt")
print([name for name in sys.modules if name.startswith("lottoc") and sys.modules[name]])
"""
ABSENT = ("lark", "xdsl", "onnx", "onnx_ir", "onnxruntime", "typer", "rich", "safetensors")


def run(folder: Path, file: str, imports: str, absent: tuple[str, ...]) -> tuple[str, torch.Tensor]:
    code = RUN.format(absent=absent, imports=imports, file=file)
    command = [sys.executable, "-c", code]
    environment = {"PYTHONPATH": str(folder), "PATH": "", "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout, torch.load(folder / "y.pt")


def test_without_the_compiler(tmp_path: Path) -> None:
    own = Path(lottoc.__file__).parent
    (tmp_path / "lottoc").mkdir()
    shutil.copy(own / "__init__.py", tmp_path / "lottoc")
    shutil.copytree(own / "runtime", tmp_path / "lottoc" / "runtime")
    masked, x = network(Mlp), torch.from_numpy(sample(Mlp))
    emit(masked, tmp_path / "m.pt2", sample(Mlp), format="semi_structured")
    torch.save(x, tmp_path / "x.pt")
    loaded, y = run(tmp_path, "m.pt2", "import lottoc.runtime", ABSENT)
    assert "lottoc.runtime.semi_structured" in loaded
    assert "lottoc.frontends" not in loaded
    with torch.no_grad():
        assert torch.equal(y, masked.module(x))


def test_dense_and_masked_need_nothing_of_lottoc(tmp_path: Path) -> None:
    masked, x = network(Mlp), torch.from_numpy(sample(Mlp))
    torch.save(x, tmp_path / "x.pt")
    emit(masked, tmp_path / "m.pt2", sample(Mlp), format="masked")
    loaded, y = run(tmp_path, "m.pt2", "", (*ABSENT, "lottoc"))
    assert loaded.strip() == "[]"
    with torch.no_grad():
        assert torch.equal(y, masked.module(x))
