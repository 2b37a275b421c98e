"""Wrong recipes are explained: the whole text for each, and what holds of every explanation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lottoc.diagnostics import Diagnostic, RecipeError, Source
from lottoc.explain import explanations
from lottoc.grammar import parser
from lottoc.grammar.parser import parse, parse_value
from lottoc.grammar.words import TERMINALS, one_of, wanted

HERE = Path(__file__).parent
SECTION = re.compile(r"## (.*?)\n\n```lotto\n(.*?)```\n\n```text\n(.*?)\n```\n", re.DOTALL)
CASES = SECTION.findall((HERE / "syntax_errors.md").read_text(encoding="utf-8"))
GRAMMAR = "\n".join(path.read_text() for path in (HERE.parents[1] / "grammar").glob("*.py"))
CODES = {code for code in explanations() if f'"{code}"' in GRAMMAR}


def errors(text: str) -> list[Diagnostic]:
    with pytest.raises(RecipeError) as caught:
        parse(Source("recipe.lotto", text))
    return list(caught.value.diagnostics)


@pytest.mark.parametrize(("title", "text", "said"), CASES, ids=[case[0] for case in CASES])
def test_what_is_said(title: str, text: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(Source("recipe.lotto", text))
    assert str(caught.value) == said


@pytest.mark.parametrize("text", [case[1] for case in CASES], ids=[case[0] for case in CASES])
def test_every_error_has_a_known_code_a_place_and_a_way_out(text: str) -> None:
    found = errors(text)
    for error in found:
        assert error.code in CODES
        assert error.help
        assert all(0 <= at.span.start <= at.span.end <= len(text) for at in error.labels)
    places = [error.labels[0].span.start for error in found]
    assert places == sorted(places)


def test_every_section_is_read() -> None:
    assert len(CASES) == (HERE / "syntax_errors.md").read_text(encoding="utf-8").count("\n## ")


def test_every_code_of_the_specification_is_met() -> None:
    met = {code for _, _, said in CASES for code in re.findall(r"^error\[(.*?)\]", said, re.M)}
    assert CODES - met == {"nesting-too-deep", "recipe-too-long"}  # tested below


def test_every_terminal_has_a_name_for_people() -> None:
    terminals = {terminal.name for terminal in parser._lark().terminals} | {"$END"}
    assert terminals == set(TERMINALS)
    assert len(set(TERMINALS.values())) == len(TERMINALS)


def test_expectations_are_brief() -> None:
    assert one_of(["a", "b", "c"]) == "a, b or c"
    assert wanted({"COMMA", "RPAR", "OPERATOR", "DOT", "UNIT"}) == "`,` or `)`"
    assert wanted({"OPERATOR"}) == "an operator"


@pytest.mark.parametrize("opening", ["(", "[", "f(", "[ (", "~", "-", "a-", "a.", "a | ", "f(x="])
@pytest.mark.parametrize("closed", [True, False])
def test_deep_nesting_is_an_error_and_not_a_crash(opening: str, closed: bool) -> None:
    closing = "".join({"(": ")", "[": "]"}.get(c, "") for c in reversed(opening))
    text = f"ticket a {{ x = {opening * 10_000}a{closing * 10_000 if closed else ''} }}"
    (error,) = errors(text)
    assert error.code == "nesting-too-deep"


def test_nesting_that_is_not_too_deep_is_taken() -> None:
    text = "(" * 190 + "a" + ")" * 190 + " - b" * 190
    assert parse(Source("a", f"ticket a {{ x = {text} }}")).items


def test_brackets_left_open_in_many_items_do_not_add_up() -> None:
    found = errors("ticket a { x = (1 }\n" * 300)
    assert {error.code for error in found} == {"unclosed-bracket"}


def test_a_recipe_has_a_greatest_length() -> None:
    assert errors("#" * 2_000_000)[0].code == "recipe-too-long"


def test_the_number_of_errors_is_bounded() -> None:
    assert len(errors("ticket a { x }\n" * 1000)) == parser.MAX_ERRORS
    assert len(errors("ticket a { x = 1 x = 2 }\n" * 1000)) == parser.MAX_ERRORS


@pytest.mark.parametrize(
    ("character", "shown"),
    [("\0", "U+0000"), ("\x1b", "U+001B"), ("\ufffd", "U+FFFD"), ("\u202e", "U+202E")],
)
def test_characters_that_cannot_be_seen_are_named(character: str, shown: str) -> None:
    for text in (character, f"ticket a {{ x = {character} }}", f'param a = 1 {character}"b"'):
        (error,) = errors(text)
        assert error.message == f"unexpected character {shown}"
        assert character == "\ufffd" or character not in str(RecipeError([error]))


def test_control_characters_in_strings_are_refused_where_they_stand() -> None:
    (error,) = errors('import "a\0b"')
    assert (error.code, error.labels[0].span.start) == ("unexpected-character", 9)
    assert str(parse_value(Source("a", '"a\tb"'))) == r"String(value='a\tb')"


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", "missing-value", "the value is empty"),
        ("# 90%", "missing-value", "the value is empty"),
        ("90 %", "unexpected-character", "unexpected character `%`"),
        ("1 2", "unexpected-token", "expected the end of the value, found `2`"),
        ("a = b", "unexpected-token", "expected the end of the value, found `=`"),
        ("[1, 2", "unclosed-bracket", "`[` is never closed"),
        ("a -", "missing-value", "nothing stands to the right of `-`"),
        ('"x', "unterminated-string", "the string is never closed"),
        ("1_000", "bad-number", "`1_000` is not a number"),
        ("f(a = 1, a = 2)", "duplicate-argument", "argument `a` is given twice"),
        ("(" * 10_000, "nesting-too-deep", "a value is nested more than 200 deep"),
    ],
)
def test_values_of_the_command_line(text: str, code: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_value(Source("-D target", text))
    (error,) = caught.value.diagnostics
    assert (error.code, error.message) == (code, message)
    assert error.help
    assert "--> -D target:1:" in str(caught.value)
