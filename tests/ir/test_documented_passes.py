"""specs/ir.md tells the truth of passes: what stands under `before` becomes what stands under
`after`, and every pass and option has its paragraph.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lottoc.cli import app
from lottoc.ir.text import from_text, to_text
from lottoc.passes import PASSES, pass_class, pipeline
from lottoc.passes.spelling import options_of

SPEC = (Path(__file__).parents[2] / "specs" / "ir.md").read_text()
(HEAD,) = re.findall(r"```mlir head\n(.*?)```", SPEC, re.S)
EXAMPLES = re.findall(r"```mlir before (\S+)\n(.*?)```\n```(mlir|text) after\n(.*?)```", SPEC, re.S)


@pytest.mark.parametrize(
    ("passes", "before", "kind", "after"), EXAMPLES, ids=[example[0] for example in EXAMPLES]
)
def test_example(passes: str, before: str, kind: str, after: str) -> None:
    result = CliRunner().invoke(app, ["opt", "-p", passes], input=(HEAD + before).encode())
    if kind == "text":
        assert result.exit_code == 2
        assert result.stderr.splitlines()[0] == after.strip()
    else:
        assert result.exit_code == 0, result.output
        assert result.stdout == to_text(from_text(HEAD + after))
        assert result.stdout != to_text(from_text(HEAD + before))


def test_every_pass_has_an_example_and_every_option_a_row() -> None:
    assert {example[0].partition("{")[0] for example in EXAMPLES} == set(PASSES)
    for name in PASSES:
        section = SPEC.partition(f"### `{name}`\n")[2].partition("\n##")[0]
        told = [
            f"{o} = {default}"
            for o, default in re.findall(r"^\| `(.+?)` \| (.+?) \|", section, re.M)
        ]
        assert told == options_of(pass_class(name)), name


def test_the_pipeline_is_told_in_its_order() -> None:
    told = SPEC.partition("`lottoc compile` runs, in this order: ")[2].partition(". ")[0]
    assert re.findall(r"`([\w-]+)`", told) == list(pipeline.LOWER)


def test_every_option_of_the_command_is_told() -> None:
    shown = set(re.findall(r"--[a-z][a-z-]+", CliRunner().invoke(app, ["opt", "-h"]).stdout))
    section = SPEC.partition("## `lottoc opt`\n")[2].partition("\n## ")[0]
    assert shown - set(re.findall(r"--[a-z][a-z-]+", section)) <= {
        *("--list", "--verify-each", "--output", "--help"),
    }
