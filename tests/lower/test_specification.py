"""specs/language.md and the compiler do not drift apart: keys, methods, codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lottoc import criteria, methods
from lottoc.lower.blocks import SHAPES

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "specs" / "language.md").read_text()


def section(title: str) -> str:
    match = re.search(rf"^### `{title}.*?\n(.*?)(?=^##)", SPEC, re.M | re.S)
    assert match, title
    return match[1]


@pytest.mark.parametrize("kind", SHAPES)
def test_every_key_is_specified_and_every_specified_key_exists(kind: str) -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section(kind), re.M)
    listed = {key for row in rows for key in re.findall(r"\w+", row)}
    assert listed == set(SHAPES[kind].keys)


def test_criteria_and_methods_are_specified() -> None:
    text = section("ticket")
    for name in (*criteria.CRITERIA, *methods.METHODS):
        assert f"`{name}" in text
