"""Laws of the parser: trees survive printing and parsing, and no text brings it down."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottoc.diagnostics import LottoError, Source, Span
from lottoc.grammar import syntax as s
from lottoc.grammar.parser import parse, parse_value
from lottoc.grammar.unparse import unparse

NOWHERE = Span(Source("nowhere", ""), 0, 0)
RECIPES = [
    path.read_text(encoding="utf-8")
    for path in sorted((Path(__file__).parent / "recipes").glob("*.lotto"))
]
_SIGNS = "{ } ( ) [ ] = == => , ; . .. : | & ^ ~ - -- + * / // % # \" ' \\ >= < !="
_LITERALS = '3 0.5 95% 2:4 0..4 "s" 1e999 5. .5 1_0 3steps é'
_NAMES = "steps ticket emit param mask require import model x _"
WORDS = [*_SIGNS.split(), *_LITERALS.split(), *_NAMES.split(), "\n", "\r\n", "\0", "\ufeff"]

names = st.sampled_from(["a", "winning", "mask", "step", "emit", "param", "x1", "_"])
kinds = st.sampled_from(["model", "ticket", "emitt", "data", "x"])
counts = st.integers(0, 10**12)
decimals = st.builds(Fraction, st.integers(0, 10**20), st.sampled_from([10**n for n in range(40)]))
numbers = st.builds(lambda n: s.Number(NOWHERE, Fraction(n), is_integer=True), counts) | st.builds(
    lambda value: s.Number(NOWHERE, value, is_integer=False), decimals
)
texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\t"))
strings = st.builds(s.String, st.just(NOWHERE), texts)
leaves = st.one_of(
    numbers,
    strings,
    st.builds(s.Percent, st.just(NOWHERE), decimals),
    st.builds(s.Name, st.just(NOWHERE), names),
    st.builds(s.Range, st.just(NOWHERE), counts, counts),
    st.builds(s.Ratio, st.just(NOWHERE), counts, counts),
)
units = st.sampled_from(["step", "steps", "epoch", "epochs"])


def grown(inner: st.SearchStrategy[s.Value]) -> st.SearchStrategy[s.Value]:
    """Values one level above the given ones."""
    here = st.just(NOWHERE)
    lists = st.lists(inner, max_size=3).map(lambda items: s.ListValue(NOWHERE, tuple(items)))
    attributes = st.builds(s.Attribute, here, inner, names, here)
    bounds = st.builds(s.Bound, here, st.sampled_from([">=", "<=", ">", "<"]), inner)
    positional = st.builds(s.Argument, here, st.none(), inner | bounds)
    keywords = st.dictionaries(names, inner, max_size=3).map(
        lambda given: [s.Argument(NOWHERE, key, value) for key, value in given.items()]
    )
    arguments = st.builds(lambda a, b: (*a, *b), st.lists(positional, max_size=2), keywords)
    functions = st.builds(s.Name, here, names) | attributes
    return st.one_of(
        lists,
        attributes,
        st.builds(s.Call, here, functions, arguments),
        st.builds(s.Quantity, here, numbers | lists, units),
        st.builds(s.Unary, here, st.sampled_from("~-"), inner),
        st.builds(s.Binary, here, st.sampled_from("|^&+-*/"), inner, inner),
    )


values = st.recursive(leaves, grown, max_leaves=12)
entries = st.dictionaries(names, values, max_size=4).map(
    lambda given: tuple(s.Entry(NOWHERE, key, NOWHERE, value) for key, value in given.items())
)
here = st.just(NOWHERE)
items = st.one_of(
    st.builds(s.Block, here, kinds, here, names, here, st.none(), entries),
    st.builds(s.Block, here, st.just("emit"), here, names, here, strings, entries),
    st.builds(s.Param, here, names, here, values),
    st.builds(s.MaskDefinition, here, names, here, values),
    st.builds(s.Require, here, st.sampled_from(["==", "!=", ">=", "<"]), values, values),
    st.builds(s.Import, here, strings),
)
recipes = st.lists(items, max_size=5).map(lambda given: s.Recipe(NOWHERE, tuple(given)))


@settings(deadline=None)
@given(recipes)
def test_a_printed_tree_parses_to_itself(recipe: s.Recipe) -> None:
    assert parse(Source("printed", unparse(recipe))) == recipe


@settings(deadline=None)
@given(values)
def test_a_printed_value_parses_to_itself(value: s.Value) -> None:
    assert parse_value(Source("printed", unparse(value))) == value


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A recipe of the specification after a few cuts, insertions and swaps."""
    text = draw(st.sampled_from(RECIPES))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        middle = draw(st.sampled_from(WORDS) | st.text(max_size=3) | st.just(text[start:end] * 2))
        text = text[:start] + middle + text[end:]
    return text


def answer(text: str) -> tuple[s.Recipe | LottoError, float]:
    """What the parser makes of a text, and in how many seconds."""
    started = time.perf_counter()
    try:
        result: s.Recipe | LottoError = parse(Source("damaged.lotto", text))
    except LottoError as error:
        result = error
        assert str(result)
    return result, time.perf_counter() - started


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

    seconds(10)
    assert seconds(1600) < 12 * max(seconds(200), 0.02)
