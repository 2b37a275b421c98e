"""specs/diagnostics.md explains every code, and its examples are what they say they are."""

from __future__ import annotations

import re
import sys
from itertools import groupby
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
from lottoc.explain import Explanation, explain, explanations
from lottoc.front import Request, front

MODEL = 'model net { source = onnx("net.onnx") }\n'
EXAMPLES = [
    pytest.param(each, wrong, text, id=f"{each.code}-{'wrong' if wrong else 'right'}")
    for each in explanations().values()
    for wrong, text in each.examples
]
TOO_LARGE = {"nesting-too-deep", "recipe-too-long"}
OF_THE_COMMAND_LINE = {"same-output", "unknown-code", "unknown-param"}
OF_FOUND_MASKS = {"output-cut"}
OF_THE_LIBRARY = {"attach-unsuited"}
OF_OTHER_LAYERS = {"needs-linear", "rows-shared"}
WITHOUT_EXAMPLE = (
    TOO_LARGE | OF_THE_COMMAND_LINE | OF_FOUND_MASKS | OF_THE_LIBRARY | OF_OTHER_LAYERS
)

EXITS = {
    1: "1: a `require` does not hold",
    2: "2: the recipe, the IR or the command line is wrong",
    3: "3: a file is missing, damaged or not what the recipe says, or something is not installed",
    4: "4: a fault of lottoc",
    0: "0: warnings and notes",
}


def found(folder: Path, each: Explanation, text: str) -> tuple[set[str], int]:  # noqa: F811
    """Codes that a recipe gives, and the exit code of its check."""
    recipe = folder / "example.lotto"
    recipe.write_text(text if re.search("^model ", text, re.M) else MODEL + text)
    asked, findings = Request(recipe, Store(folder / "store")), Findings()
    code, errors = 0, []
    try:
        _, program = front(asked, findings, deep=True)
        if each.code == "layer-collapse":  # found by a pass, after the check
            from lottoc.driver import mask_ir, recipe_ir

            mask_ir(recipe_ir(asked, program))
    except LottoError as error:
        code, errors = error.exit_code, list(error.diagnostics)
    return {d.code for d in [*findings.diagnostics, *errors]}, code


@pytest.mark.parametrize(("each", "wrong", "text"), EXAMPLES)
def test_examples(each: Explanation, wrong: bool, text: str, folder: Path) -> None:  # noqa: F811
    if not (folder / "d.npz").exists():
        np.savez(folder / "d.npz", x=np.zeros((20, 10), np.float32), y=np.arange(20) % 2)
    codes, exit_code = found(folder, each, text)
    if wrong:
        assert codes == {each.code}
        assert exit_code == each.exit_code
    else:
        assert exit_code == 0
        assert each.code not in codes


def test_every_code_is_explained_and_nothing_else() -> None:
    codes = raised()
    assert codes - set(explanations()) == set(), "explain in specs/diagnostics.md, or NO_CODES"
    assert set(explanations()) - codes == set(), "nothing in the sources gives these"
    assert seen() <= codes


@pytest.mark.parametrize("each", explanations().values(), ids=lambda each: each.code)
def test_every_explanation_says_something(each: Explanation) -> None:
    prose = re.sub("^```.*?^```", "", each.text, flags=re.M | re.S).split()
    assert len(prose) > 5
    assert each.meaning[0].islower() or each.meaning.startswith(("IR ", "N:M", "`", "-D"))
    assert not each.meaning.endswith(".")
    wrong = [text for is_wrong, text in each.examples if is_wrong]
    assert len(each.examples) == 2 * len(wrong)
    assert all(len(text.splitlines()) <= 8 for text in wrong)
    of_ir = each.code.startswith(("ir-", "pass-", "pipeline-"))
    assert wrong or each.exit_code != 2 or of_ir or each.code in WITHOUT_EXAMPLE


def test_the_page_is_sorted_and_wholly_read() -> None:
    page = (ROOT / "specs" / "diagnostics.md").read_text()
    headings = re.findall("^## (.*)$", page, re.M)
    assert headings == sorted(headings) == list(explanations())


def table() -> str:
    """The codes by exit code, as the specification of the language lists them."""
    groups = groupby(sorted(explanations().values(), key=order), key=lambda e: e.exit_code)
    return "\n".join(
        f"### Exit code {EXITS[exit_code]}\n\n| code | meaning |\n|---|---|\n"
        + "".join(f"| `{each.code}` | {each.meaning} |\n" for each in group)
        for exit_code, group in groups
    )


def order(each: Explanation) -> tuple[int, str]:
    return each.exit_code or 9, each.code


def test_the_language_lists_the_same_codes(request: pytest.FixtureRequest) -> None:
    path = ROOT / "specs" / "language.md"
    text = path.read_text()
    chapter = re.search(r"^## Diagnostics\n\n[^|#]+\n(?P<tables>(###.*\n|\|.*\n|\n)*)", text, re.M)
    assert chapter
    if request.config.getoption("--update"):
        start, end = chapter.span("tables")
        path.write_text(text[:start] + table() + text[end:])
        return
    assert chapter["tables"] == table()


def test_the_command() -> None:
    run = CliRunner().invoke
    shown = run(app, ["explain", "nm-axis"])
    assert shown.exit_code == 0
    assert shown.stdout == explain("nm-axis") + "\n"
    assert shown.stdout.startswith("nm-axis: an N:M pattern does not divide a layer's input\n")
    assert "    ticket t { layers = linear   pattern = 2:4 }" in shown.stdout
    assert "```" not in shown.stdout
    everything = run(app, ["explain"]).stdout.splitlines()
    assert [line.split()[0] for line in everything] == list(explanations())


@pytest.mark.parametrize("given", ["error[nm-axis]", "error[nm-axis]:", "NM_AXIS", " nm-axis "])
def test_a_code_as_it_was_printed_is_understood(given: str) -> None:
    assert explain(given) == explain("nm-axis")


def test_an_unknown_code() -> None:
    unknown = CliRunner().invoke(app, ["explain", "nm-axes"])
    assert unknown.exit_code == 2
    assert 'did you mean "nm-axis"?' in unknown.stderr
    for nothing in ("", "[]", "error[", "θ", "a" * 500):
        strange = CliRunner().invoke(app, ["explain", "--", nothing])
        assert strange.exit_code == 2
        assert strange.stderr.startswith("error[unknown-code]")


@pytest.mark.parametrize("code", explanations())
def test_prose_is_80_columns_wide(code: str) -> None:
    lines = explain(code).splitlines()
    assert all(len(line) <= 80 or line.startswith("    ") for line in lines[1:])
