"""What an editor sees of a recipe: as much as parses, whatever is wrong with the rest."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottoc.diagnostics import Diagnostic, RecipeError, Source
from lottoc.grammar import syntax
from lottoc.grammar.parser import MAX_LENGTH, parse
from lottoc.grammar.recover import parse_partial
from lottoc.grammar.tokens import tokens

RECIPES = sorted((Path(__file__).parent / "recipes").glob("*.lotto"))
TEXTS = [path.read_text() for path in RECIPES]


@pytest.mark.parametrize("text", TEXTS, ids=[path.stem for path in RECIPES])
def test_a_recipe_that_parses_is_read_as_ever(text: str) -> None:
    source = Source("r", text)
    recipe, errors = parse_partial(source)
    assert (recipe, errors) == (parse(source), ())
    assert recipe.comments == parse(source).comments


TWO = {"ticket a": {"scope": "erk"}, "ticket b": {"like": "a"}}


def blocks(text: str) -> dict[str, dict[str, str]]:
    recipe, errors = parse_partial(Source("r", text))
    assert errors
    return {
        f"{item.kind} {item.name}": {e.key: e.value.span.text for e in item.entries}
        for item in recipe.items
        if isinstance(item, syntax.Block)
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ticket a { layers = linear - }", {"ticket a": {"layers": "linear"}}),
        ("ticket a { layers = \n scope = erk", {"ticket a": {"scope": "erk"}}),
        ("ticket a { lay", {"ticket a": {}}),
        ("ticket a { method = imp(rounds = 3,\n}", {"ticket a": {}}),
        ("ticket a { layers = (all scope = erk }", {"ticket a": {"scope": "erk"}}),
        ("ticket a { ; scope = erk } x ticket b { like = a", TWO),
        ("ticket a {\n  scope = erk\n\nticket b { like = a }", TWO),
        ('emit onnx "a { ticket = a }\nticket b { like = a }', {"ticket b": {"like": "a"}}),
        ('emit onnx "a" { ticket = a. }', {"emit onnx": {"ticket": "a"}}),
        ("{ { } ticket { a = 1 }", {}),
    ],
)
def test_what_is_left_of_a_broken_block(text: str, expected: dict[str, dict[str, str]]) -> None:
    assert blocks(text) == expected


def raised(source: Source) -> list[Diagnostic]:
    try:
        parse(source)
    except RecipeError as error:
        return list(error.diagnostics)
    return []


@given(st.sampled_from(TEXTS), st.data())
@settings(max_examples=150, deadline=None)
def test_nothing_breaks_it_and_its_spans_are_true(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        scrap = data.draw(st.sampled_from([*'{}()[]="#,.|θ\n', "ticket x {", "= ", "param ", ""]))
        text = text[:at] + scrap + text[at + data.draw(st.integers(0, 6)) :]
    source = Source("r", text)
    recipe, errors = parse_partial(source)
    assert list(errors) == raised(source)
    assert errors or parse(source) == recipe
    for node, _ in syntax.walk(recipe):
        assert 0 <= node.span.start <= node.span.end <= len(text)
        match node:
            case syntax.Block():
                assert node.name_span.text == node.name
                assert node.kind_span.text == node.kind
            case syntax.Entry():
                assert node.key_span.text == node.key
            case syntax.Name() if not node.span.text.startswith("("):
                assert node.span.text == node.value


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_words_cover_all_but_space(text: str) -> None:
    found = list(tokens(text))
    covered = {i for t in found for i in range(t.start, t.end)}
    assert {i for i, c in enumerate(text) if not c.isspace()} <= covered
    assert all(text[t.start : t.end] == t.text for t in found)
    assert all(a.end <= b.start for a, b in pairwise(found))


def test_long_texts_are_not_read() -> None:
    recipe, errors = parse_partial(Source("r", "#" * (MAX_LENGTH + 1)))
    assert recipe.items == ()
    assert [e.code for e in errors] == ["recipe-too-long"]


def test_deep_nesting_is_left_out() -> None:
    text = f"ticket a {{ layers = {'f(' * 300}all{')' * 300}   scope = erk }}"
    assert blocks(text) == {"ticket a": {"scope": "erk"}}
