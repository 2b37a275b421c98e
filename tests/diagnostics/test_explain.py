"""specs/diagnostics.md explains every code, and its examples are what they say they are."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from codes import ROOT, raised, seen
from test_gallery import folder  # noqa: F401 - a fixture

from lottoc.cli import app
from lottoc.diagnostics import Findings, LottoError
from lottoc.engine.store import Store
from lottoc.explain import explanations
from lottoc.front import Request, front

MODEL = 'model net { source = onnx("net.onnx") }\n'
EXAMPLES = [
    pytest.param(each, wrong, text, id=f"{each.code}-{'wrong' if wrong else 'right'}")
    for each in explanations().values()
    for wrong, text in each.examples
]


def found(folder: Path, text: str) -> tuple[set[str], int]:  # noqa: F811
    """Codes that a recipe gives, and the exit code of its check."""
    recipe = folder / "example.lotto"
    recipe.write_text(text if re.search("^model ", text, re.M) else MODEL + text)
    findings = Findings()
    code = 0
    errors = []
    try:
        front(Request(recipe, Store(folder / "store")), findings, deep=True)
    except LottoError as error:
        code, errors = error.exit_code, list(error.diagnostics)
    return {d.code for d in [*findings.diagnostics, *errors]}, code


@pytest.mark.parametrize(("each", "wrong", "text"), EXAMPLES)
def test_examples(each, wrong: bool, text: str, folder: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    if not (folder / "d.npz").exists():
        np.savez(folder / "d.npz", x=np.zeros((20, 10), np.float32), y=np.arange(20) % 2)
    if each.code == "layer-collapse":
        pytest.skip("found by a pass, after the check: tests/passes")
    codes, exit_code = found(folder, text)
    if wrong:
        assert each.code in codes
        assert exit_code == each.exit_code
    else:
        assert exit_code == 0
        assert each.code not in codes


def test_every_code_is_explained_and_nothing_else() -> None:
    assert len(raised()) > 80
    missing = sorted((raised() | seen()) - set(explanations()))
    assert missing == []
    text = "\n".join(
        p.read_text()
        for f in ("lottoc", "grammar", "passes", "backends")
        for p in sorted((ROOT / f).rglob("*.py"))
    )
    text = text.replace("{kind}-not-readable", '"recipe-not-readable"')
    assert [code for code in explanations() if f'"{code}"' not in text] == []


def test_the_page_is_sorted_and_wholly_read() -> None:
    page = (ROOT / "specs" / "diagnostics.md").read_text()
    headings = re.findall("^## (.*)$", page, re.M)
    assert headings == sorted(headings) == list(explanations())


def test_the_table_of_the_language_says_the_same(request: pytest.FixtureRequest) -> None:
    path = ROOT / "specs" / "language.md"
    text = path.read_text()
    rows = re.compile(r"(?<=^\| code \| exit \| meaning \|\n\|---\|---\|---\|\n)(\|.*\n)*", re.M)
    told = "".join(
        f"| `{e.code}` | {e.exit_code} | {e.meaning} |\n" for e in explanations().values()
    )
    if request.config.getoption("--update"):
        path.write_text(rows.sub(lambda _: told, text, count=1))
        return
    found = rows.search(text)
    assert found
    assert found[0] == told


def test_the_command() -> None:
    run = CliRunner().invoke
    shown = run(app, ["explain", "nm-axis"])
    assert shown.exit_code == 0
    assert shown.stdout.startswith("nm-axis: an N:M pattern does not divide a layer's input\n")
    assert "    ticket t { layers = linear   pattern = 2:4 }" in shown.stdout
    assert "```" not in shown.stdout
    everything = run(app, ["explain"]).stdout.splitlines()
    assert len(everything) == len(explanations())
    unknown = run(app, ["explain", "nm-axes"])
    assert unknown.exit_code == 2
    assert 'did you mean "nm-axis"?' in unknown.stderr
