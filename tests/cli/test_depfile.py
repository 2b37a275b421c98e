"""`lottoc compile --depfile`: real make builds again when an input is touched, and only then."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner, Result

from lottoc.cli import app
from lottoc.depfile import Rule, to_text
from lottoc.diagnostics import InputError

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

RECIPE = """
import "parts/shared.lotto"
import "presets/onnx.lotto"
model trained { source = torch("net.py:net") }
ticket winning { model = trained   data = blobs   training = sgd   layers = all   sparsity = 50% }
ticket light { model = plain   layers = all   sparsity = sparse }
emit onnx "winning.onnx" { ticket = winning }
emit onnx "sub/light.onnx" { ticket = light }
"""

SHARED = """
data blobs {
  train = npz("my data $1 #2.npz", x = "x_train", y = "y_train")
  test  = npz("my data $1 #2.npz", x = "x_test",  y = "y_test")
}
training sgd { optimizer = sgd(lr = 0.1)   batch = 20   length = 5 steps }
model plain { source = onnx("plain.onnx") }
"""

NET = """
import torch
from layers import hidden

def net():
    open_files = ["sizes.txt"]
    return torch.nn.Sequential(*hidden(), torch.nn.Linear(16, 4))
"""

LAYERS = """
from torch import nn

def hidden():
    return [nn.Linear(16, 16), nn.ReLU()]
"""

MAKEFILE = f"""
out/winning.onnx: r.lotto
\t{sys.executable} -m lottoc.cli compile r.lotto -q -o out --depfile deps.mk
\techo made >> log
-include deps.mk
"""

INPUTS = (
    "r.lotto",
    "parts/shared.lotto",
    "parts/my data $1 #2.npz",
    "parts/plain.onnx",
    "parts/plain.bin",
    "net.py",
    "layers.py",
    "sizes.txt",
)


def lottoc(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def mixed(project: Path) -> Path:
    """A recipe that reads files of every kind, all of them old."""
    parts = project / "parts"
    parts.mkdir()
    model = onnx.load(project / "net-dense.onnx")
    onnx.save(
        model,
        parts / "plain.onnx",
        save_as_external_data=True,
        location="plain.bin",
        size_threshold=0,
    )
    (project / "blobs.npz").rename(parts / "my data $1 #2.npz")
    texts = {"r.lotto": RECIPE, "parts/shared.lotto": SHARED, "net.py": NET, "layers.py": LAYERS}
    for name, text in {**texts, "sizes.txt": "16", "Makefile": MAKEFILE}.items():
        (project / name).write_text(text)
    for path in project.rglob("*"):
        os.utime(path, (1e9, 1e9))
    return project


@needs_make
def test_touching_any_input_builds_again_and_nothing_else_does(mixed: Path) -> None:
    first = make()
    assert first.returncode == 0, first.stderr
    assert make("-q").returncode == 0, "nothing changed"
    for name in INPUTS:
        os.utime(mixed / name)
        assert make("-q").returncode == 1, f"{name} was touched"
        os.utime(mixed / name, (1e9, 1e9))
        assert make("-q").returncode == 0
    (mixed / "unrelated.py").write_text("")
    (mixed / "parts" / "other.lotto").write_text("")
    assert make("-q").returncode == 0
    os.utime(mixed / "layers.py")
    assert make().returncode == 0
    assert (mixed / "log").read_text() == "made\n" * 2
    assert make("-q").returncode == 0


@needs_make
def test_an_input_that_is_gone_leads_to_lottocs_own_words(mixed: Path) -> None:
    assert make().returncode == 0
    (mixed / "layers.py").unlink()
    result = make()
    assert result.returncode != 0
    assert "No rule to make target" not in result.stderr


def test_a_failing_recipe_leaves_the_old_file(mixed: Path) -> None:
    (mixed / "deps.mk").write_text("old")
    (mixed / "slip.lotto").write_text("tickt")
    arguments = ["-o", "out", "--depfile", "deps.mk"]
    assert lottoc("compile", "pruned.lotto", "slip.lotto", *arguments).exit_code == 2
    assert (mixed / "deps.mk").read_text() == "old"
    (mixed / "deps.mk").unlink()
    assert lottoc("compile", "pruned.lotto", "-q", *arguments).exit_code == 0
    rule, *empty = (mixed / "deps.mk").read_text().splitlines()
    assert rule == ("out/half.onnx out/sparse.onnx out/report.json: pruned.lotto net-dense.onnx")
    assert empty == ["pruned.lotto:", "net-dense.onnx:"]


def test_ir_text_has_inputs_too(mixed: Path) -> None:
    text = lottoc("ir", "pruned.lotto").stdout
    (mixed / "p.mlir").write_text(text)
    assert lottoc("compile", "p.mlir", "-q", "-o", "out", "--depfile", "d.mk").exit_code == 0
    rule = (mixed / "d.mk").read_text().splitlines()[0]
    assert rule.endswith(": p.mlir net-dense.onnx")


def test_a_folder_that_is_not_there(mixed: Path) -> None:
    result = lottoc("compile", "pruned.lotto", "--depfile", "none/deps.mk")
    assert result.exit_code == 3
    assert "error[output-not-writable]" in result.stderr


TARGETS = ["a b", "a$b", "$(x", "a#b", "a:b", "a[b]", "a*b", "a?b", "a\\b", "a\\ b", "a\\#b", "a\\"]
TARGETS += ["two  spaces", "a'b", 'a"b', "a|b", "a&b", "ä→b", "-a", "a\\\\:b", "~"]
PREREQUISITES = [*TARGETS, "50%", "a\tb", "a&"]


def is_up_to_date(rule: Rule, newer: Path, older: Path) -> bool:
    os.utime("in/other", (8e8, 8e8))
    os.utime(older, (9e8, 9e8))
    os.utime(newer, (1e9, 1e9))
    first, rest = to_text([rule]).split("\n", 1)
    Path("Makefile").write_text(f"{first}\n\t@echo made\n{rest}")
    result = make("-q")
    assert result.stderr == ""
    return result.returncode == 0


@needs_make
@pytest.mark.parametrize("name", PREREQUISITES)
def test_make_reads_names_as_they_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = Path("out", name if name in TARGETS else "made")
    needed, other = Path("in", name), Path("in/other")
    for path in (made, needed, other):
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    rule = Rule((made,), (needed, other))
    assert is_up_to_date(rule, newer=made, older=needed)
    assert not is_up_to_date(rule, newer=needed, older=made)


@pytest.mark.parametrize("name", ["out=x/t", "50%", "a\tb", "a&"])
def test_targets_that_no_makefile_can_hold(name: str) -> None:
    with pytest.raises(InputError):
        to_text([Rule((Path(name),), (Path("in"),))])


@pytest.mark.parametrize("name", ["a=b", "a\nb", "a;b", "a(b)"])
def test_names_that_no_makefile_can_hold(name: str) -> None:
    with pytest.raises(InputError) as caught:
        to_text([Rule((Path("out"),), (Path(name),))])
    assert caught.value.diagnostics[0].code == "depfile-name"
