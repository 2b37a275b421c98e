"""Every pass as text in, text out: `// RUN: passes`, then IR with the CHECK lines it must match."""

from __future__ import annotations

from pathlib import Path

import pytest
from filecheck.matcher import Matcher
from filecheck.options import Options

from lottoc.diagnostics import RecipeError
from lottoc.ir.text import context, from_text, to_text
from lottoc.passes import PASSES, pipeline

PAGES = sorted(Path(__file__).parent.glob("*.mlir"))


def outcome(page: Path) -> str:
    """The IR after the page's passes, or the diagnostics of the pass that refused."""
    text = page.read_text()
    names = [name.strip() for name in text.splitlines()[0].removeprefix("// RUN:").split(",")]
    module = from_text(text, page.name)
    try:
        pipeline.run(module, names, context())
    except RecipeError as error:
        return str(error)
    assert to_text(from_text(to_text(module))) == to_text(module)
    return to_text(module)


def matches(page: Path, text: str, tmp_path: Path) -> bool:
    target = tmp_path / "out.mlir"
    target.write_text(text)
    return Matcher.from_opts(Options(str(page), str(target))).run() == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page: Path, tmp_path: Path) -> None:
    assert matches(page, outcome(page), tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_can_fail(page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A page that also accepts an empty module checks nothing."""
    assert not matches(page, "builtin.module {\n}\n", tmp_path)


def test_every_own_pass_has_a_page() -> None:
    own = {name for name, where in PASSES.items() if where.startswith("lottoc.")}
    assert own <= {page.stem for page in PAGES}


def test_pass_names_are_their_keys() -> None:
    from lottoc.passes import pass_class

    assert {name: pass_class(name).name for name in PASSES} == {name: name for name in PASSES}
