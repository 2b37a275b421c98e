"""Laws of the formatter: it changes no meaning and no comment, and leaves alone what it wrote."""

from __future__ import annotations

import contextlib
import itertools
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from growth import growth
from hypothesis import given, settings
from hypothesis import strategies as st
from random_recipes import WORDS, damaged, recipes, spelt, written

from lottoc.diagnostics import RecipeError, Source
from lottoc.grammar import syntax as s
from lottoc.grammar.format import format_recipe
from lottoc.grammar.parser import parse
from lottoc.grammar.unparse import unparse

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXAMPLES = sorted((ROOT / "examples").rglob("*.lotto"))
PAGE = re.findall(r"```lotto\n(.*?)```", (ROOT / "specs" / "language.md").read_text(), re.DOTALL)
FENCED = r"```lotto\n(.*?)```\n"
CASE = re.compile(rf"## (.*?)\n\n(?:[^`]*\n\n)?{FENCED}\n{FENCED}", re.DOTALL)
CASES = CASE.findall((HERE / "format.md").read_text(encoding="utf-8"))


def fmt(text: str) -> str:
    return format_recipe(Source("recipe.lotto", text))


def comments(recipe: s.Recipe) -> list[str]:
    return [comment.text.rstrip(" \t") for comment in recipe.comments]


def errors_of(work: Callable[[], object]) -> str:
    try:
        work()
    except RecipeError as error:
        return str(error)
    return ""


def numbered(text: str) -> str:
    """The text with comments that can be told apart."""
    count = itertools.count()
    comment = re.compile(r'"(?:[^"\\\n]|\\.)*"|(#)')
    return comment.sub(lambda m: f"#{next(count)}" if m[1] else m[0], text)


def assert_laws(text: str) -> None:
    before = parse(Source("before", text))
    result = fmt(text)
    after = parse(Source("after", result))
    assert after == before
    assert comments(after) == comments(before)
    assert fmt(result) == result
    assert result == "" or re.match(r"\S", result)
    assert not re.search(r"[ \t]\n|\n\n\n|\r|\n\n\Z|[^\n]\Z|\A\ufeff", result)


@settings(max_examples=150, deadline=None)
@given(recipes.map(unparse))
def test_any_recipe(text: str) -> None:
    assert_laws(text)


@settings(max_examples=300, deadline=None)
@given(spelt(written | recipes.map(unparse)))
def test_any_spelling_of_any_recipe(text: str) -> None:
    assert_laws(numbered(text))


@settings(max_examples=100, deadline=None)
@given(written | recipes.map(unparse), st.integers(0, 2**32))
def test_spaces_make_no_difference(text: str, seed: int) -> None:
    draw = random.Random(seed)
    part = re.compile(r'"(?:[^"\\\n]|\\.)*"|#[^\n]*|([ \t]+)')
    spaced = part.sub(lambda m: draw.choice([" ", "\t", "    "]) if m[1] else m[0], text)
    assert fmt(spaced) == fmt(text)


@settings(max_examples=400, deadline=None)
@given(damaged() | st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join))
def test_what_does_not_parse_is_refused_with_the_same_errors(text: str) -> None:
    said = errors_of(lambda: parse(Source("recipe.lotto", text)))
    assert errors_of(lambda: fmt(text)) == said
    if not said:
        assert_laws(text)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_in_the_style(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert fmt(text) == text


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize("text", PAGE, ids=lambda text: text.split("\n")[0][:30])
def test_the_specification_is_in_the_style(text: str) -> None:
    assert fmt(text) == text


@pytest.mark.parametrize(("title", "before", "after"), CASES, ids=[case[0] for case in CASES])
def test_style(title: str, before: str, after: str) -> None:
    assert fmt(before) == after
    assert fmt(after) == after


def test_every_case_is_read() -> None:
    assert len(CASES) == (HERE / "format.md").read_text(encoding="utf-8").count("\n## ") > 20


@pytest.mark.parametrize("text", ["", " \n\t\n", "\ufeff", "\ufeff\n"])
def test_nothing_stays_nothing(text: str) -> None:
    assert fmt(text) == ""


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_ends_and_the_byte_order_mark(ending: str) -> None:
    text = ending.join(["\ufeff# a", "param x = 1  # b", "", "", "param y = [1,", "2]"])
    after = "# a\nparam x = 1" + " " * 29 + "# b\n\nparam y = [1, 2]\n"
    assert fmt(text) == after


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("ticket a { x = 1 x = 2 }", "duplicate-key"),
        ("ticket a { x = f(y = 1, y = 2) }", "duplicate-argument"),
        (f"param a = {'(' * 300}1{')' * 300}", "nesting-too-deep"),
        (f"param a = {'-' * 300}1", "nesting-too-deep"),
        (f"param a = a{' - a' * 300}", "nesting-too-deep"),
        (f"param a = a{'.a' * 300}", "nesting-too-deep"),
        (f"param a = {'f(>= ' * 70}1{')' * 70}", "nesting-too-deep"),
        ("param a = 1e999", "bad-number"),
        (f"param a = {'1' * 200}", "bad-number"),
        (f"param a = 1:{'1' * 200}", "bad-number"),
        (r'param a = "\d"', "bad-escape"),
        ('param a = "b', "unterminated-string"),
        ("#" * (2**20 + 1), "recipe-too-long"),
        ("param a = ", "missing-value"),
    ],
)
def test_all_that_the_parser_refuses_is_refused(text: str, code: str) -> None:
    with pytest.raises(RecipeError) as caught:
        fmt(text)
    assert [d.code for d in caught.value.diagnostics] == [code]


@pytest.mark.parametrize("opening", ["(", "[", "f(", "f(>= ", "f(a = ", "-", "a.", "a - ", "[-(a."])
def test_what_is_too_deep_is_so_for_parser_and_formatter(opening: str) -> None:
    closing = {"(": ")", "[": "]"}
    for count in range(20, 220, 7):
        shut = "".join(closing.get(c, "") for c in reversed(opening))
        text = f"ticket t {{ x = {opening * count}a{shut * count} }}"
        said = errors_of(lambda text=text: parse(Source("recipe.lotto", text)))
        assert errors_of(lambda text=text: fmt(text)) == said


@pytest.mark.parametrize(
    "value",
    [
        "(" * 190 + "a" + ")" * 190,
        "a" + " - a" * 150,
        "[" + ", ".join(["-1"] * 500) + "]",
        r'"\\ \" \n \t"',
        "1" * 99,
        "1e-300",
    ],
)
def test_what_is_only_just_allowed_is_formatted(value: str) -> None:
    assert_laws(f"param a = {value}")
    assert_laws(f"# c\nticket a {{ b = {value} # d\n }}")


@pytest.mark.parametrize(
    "text",
    [
        '"' * 10**6,
        '"' + '\\"' * 400_000,
        "1" * 10**6,
        "1_" * 500_000,
        "(" * 10**6,
        "#\n" * 500_000,
        " " * 10**6,
        "\n" * 10**6,
        "a" * 10**6,
        "{" * 10**6,
        "param a = 1 # b\n" * 60_000,
        "param a = [" + "1, # b\n" * 70_000 + "]",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_a_megabyte_of_anything_is_answered_briefly(text: str) -> None:
    started = time.process_time()
    with contextlib.suppress(RecipeError):
        fmt(text)
    assert time.process_time() - started < 10


def test_time_grows_with_length_alone() -> None:
    def seconds(count: int) -> float:
        text = "# c\nticket a { layers = linear - last   sparsity = 90% } # d\n" * count
        started = time.process_time()
        fmt(text)
        return time.process_time() - started

    assert growth(seconds, 1000, 8000) < 24
