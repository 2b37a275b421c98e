"""Laws of the parser: trees survive printing and parsing, and no text brings it down."""

from __future__ import annotations

import time

import pytest
from growth import growth
from hypothesis import given, settings
from hypothesis import strategies as st
from random_recipes import WORDS, damaged, recipes, values

from lottoc.diagnostics import LottoError, Source
from lottoc.grammar import syntax as s
from lottoc.grammar.parser import parse, parse_value
from lottoc.grammar.unparse import unparse


@settings(deadline=None)
@given(recipes)
def test_a_printed_tree_parses_to_itself(recipe: s.Recipe) -> None:
    assert parse(Source("printed", unparse(recipe))) == recipe


@settings(deadline=None)
@given(values)
def test_a_printed_value_parses_to_itself(value: s.Value) -> None:
    assert parse_value(Source("printed", unparse(value))) == value


def answer(text: str) -> tuple[s.Recipe | LottoError, float]:
    """What the parser makes of a text, and in how many seconds."""
    started = time.process_time()
    try:
        result: s.Recipe | LottoError = parse(Source("damaged.lotto", text))
    except LottoError as error:
        result = error
        assert str(result)
    return result, time.process_time() - started


def assert_tree_or_errors(text: str) -> None:
    result, seconds = answer(text)
    if isinstance(result, LottoError):
        assert all(d.code and d.labels and d.help for d in result.diagnostics)
    assert seconds < 1


@settings(max_examples=500, deadline=None)
@given(damaged())
def test_damaged_recipes_give_a_tree_or_errors(text: str) -> None:
    assert_tree_or_errors(text)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200).map(lambda data: data.decode("utf-8", "replace")))
def test_junk_gives_a_tree_or_errors(text: str) -> None:
    assert_tree_or_errors(text)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join))
def test_words_in_any_order_give_a_tree_or_errors(text: str) -> None:
    assert_tree_or_errors(text)


MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "\0" * MEGABYTE,
        '"' * MEGABYTE,
        "(" * MEGABYTE,
        "{" * MEGABYTE,
        " " * MEGABYTE,
        "\n" * MEGABYTE,
        "#" * MEGABYTE,
        "a" * MEGABYTE,
        "param x = " + "1" * MEGABYTE,
        "param x = " + "1_" * (MEGABYTE // 2),
        "mask" + " " * MEGABYTE + "x",
        "param x = 3 steps" + " " * MEGABYTE,
        '"' + "\\" * MEGABYTE,
        "x y {\n" * (MEGABYTE // 6),
        "ticket a { x }\n" * (MEGABYTE // 15),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_a_megabyte_of_nonsense_is_answered_briefly(text: str) -> None:
    result, seconds = answer(text)
    if isinstance(result, LottoError):
        assert len(str(result)) < 1000 * len(result.diagnostics)
    assert seconds < 5


def test_time_grows_with_length_alone() -> None:
    def seconds(count: int) -> float:
        text = "ticket a { layers = linear - last   sparsity = 90% }\n" * count + "ticket b { x }"
        started = time.process_time()
        with pytest.raises(LottoError):
            parse(Source("long.lotto", text))
        return time.process_time() - started

    assert growth(seconds, 200, 1600) < 24
