"""Wrong recipes and the exact text the compiler prints; `pytest --update` rewrites the texts.

A case in `*.md` is a heading, a fenced `lotto` block and a fenced `text` block: what
`lottoc check --load-models` prints, then the exit code.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from lottoc.diagnostics import Findings, LottoError, render
from lottoc.engine.store import Store
from lottoc.front import Request, front

HERE = Path(__file__).parent
CASE = re.compile(r"^## (.+?)\n(.*?)```lotto\n(.*?)```\n\n```text\n(.*?)```\n", re.M | re.S)
CASES = [
    pytest.param(page, match[1], match[3], match[4], id=f"{page.stem}: {match[1]}")
    for page in sorted(HERE.glob("*.md"))
    for match in CASE.finditer(page.read_text())
]

NET = """
import torch

def net():
    return torch.nn.Sequential(torch.nn.Linear(10, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2))

def broken():
    raise RuntimeError("no weights here")

def number():
    return 3

def encoder():
    return torch.nn.TransformerEncoderLayer(8, 2, 16)

def memory():
    return torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.LSTM(8, 4))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of layers "fc1" (16 → 8), "fc2" (8 → 10) and "head" (10 → 2)."""
    from onnx import TensorProto, helper, numpy_helper, save

    path = tmp_path_factory.mktemp("gallery")
    sizes = {"fc1": (8, 16), "fc2": (10, 8), "head": (2, 10)}
    nodes, weights, value = [], [], "x"
    for name, shape in sizes.items():
        weight = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"{name}.weight"))
        nodes.append(helper.make_node("Gemm", [value, f"{name}.weight"], [f"y_{name}"], transB=1))
        value = f"y_{name}"
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, ["n", 2])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    save(model, path / "net.onnx")
    content = (path / "net.onnx").read_bytes()
    (path / "cut.onnx").write_bytes(content[: len(content) // 2])
    (path / "empty.onnx").write_bytes(b"")
    (path / "text.onnx").write_text("not a model\n" * 20)
    (path / "net.py").write_text(NET)
    (path / "slip.py").write_text("def net(:\n    pass\n")
    return path


def outcome(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a person sees."""
    (folder / "r.lotto").write_text(text)
    monkeypatch.chdir(folder)
    findings = Findings()
    code, errors = 0, []
    try:
        front(Request(Path("r.lotto"), Store(folder / "store")), findings, deep=True)
    except LottoError as error:
        code, errors = error.exit_code, list(error.diagnostics)
    softer = [d for d in findings.diagnostics if d.severity != "error"]
    return "".join(f"{render(d)}\n\n" for d in [*softer, *errors]) + f"exit code {code}\n"


@pytest.mark.parametrize(("page", "title", "recipe", "expected"), CASES)
def test_case(
    page: Path,
    title: str,
    recipe: str,
    expected: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    actual = outcome(folder, recipe, monkeypatch)
    if request.config.getoption("--update"):
        text = page.read_text()
        old = next(m for m in CASE.finditer(text) if m[1] == title)
        start, end = old.span(4)
        page.write_text(text[:start] + actual + text[end:])
        return
    assert actual == expected


def test_every_case_is_wrong_or_warned_about() -> None:
    quiet = [case.id for case in CASES if case.values[3].startswith("exit code")]
    assert CASES
    assert not quiet
