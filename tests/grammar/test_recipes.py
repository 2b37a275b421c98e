"""The recipes of the specification parse into the trees they stand for."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest

from lottoc.diagnostics import Source, Span
from lottoc.grammar import syntax as s
from lottoc.grammar.parser import parse, parse_value
from lottoc.grammar.unparse import unparse

RECIPES = sorted((Path(__file__).parent / "recipes").glob("*.lotto"))
SPECIFICATION = Path(__file__).parents[2] / "specs" / "language.md"
EXAMPLES = re.findall(r"```lotto\n(.*?)```", SPECIFICATION.read_text(encoding="utf-8"), re.DOTALL)

VALUES = s.Value.__args__
NOWHERE = Span(Source("nowhere", ""), 0, 0)


def read(path: Path) -> s.Recipe:
    return parse(Source(path.name, path.read_text(encoding="utf-8")))


def block(recipe: s.Recipe, name: str) -> dict[str, s.Value]:
    (found,) = [item for item in recipe.items if isinstance(item, s.Block) and item.name == name]
    return {entry.key: entry.value for entry in found.entries}


def named(name: str) -> Path:
    return RECIPES[[path.stem for path in RECIPES].index(name)]


def name(text: str) -> s.Name:
    return s.Name(NOWHERE, text)


def string(text: str) -> s.String:
    return s.String(NOWHERE, text)


def number(value: int) -> s.Number:
    return s.Number(NOWHERE, Fraction(value), is_integer=True)


def call(function: str, *arguments: s.Value, **keywords: s.Value) -> s.Call:
    given = [s.Argument(NOWHERE, None, value) for value in arguments]
    given += [s.Argument(NOWHERE, key, value) for key, value in keywords.items()]
    return s.Call(NOWHERE, name(function), tuple(given))


def test_there_are_recipes_and_examples() -> None:
    assert len(RECIPES) == 11
    assert len(EXAMPLES) >= 8


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: text.split("\n")[0][:30])
def test_every_example_of_the_specification_parses(text: str) -> None:
    assert parse(Source("language.md", text)).items


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_printed_recipe_parses_to_the_same_tree(path: Path) -> None:
    recipe = read(path)
    assert parse(Source("printed", unparse(recipe))) == recipe


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_span_of_a_value_covers_exactly_its_text(path: Path) -> None:
    for node, _ in s.walk(read(path)):
        if isinstance(node, VALUES) and not isinstance(node, s.Bound):
            assert parse_value(Source("span", node.span.text)) == node
        if isinstance(node, s.Block):
            assert node.span.text.startswith(node.kind_span.text)
            assert node.span.text.endswith("}")
            assert (node.kind_span.text, node.name_span.text) == (node.kind, node.name)
        if isinstance(node, s.Entry):
            assert node.key_span.text == node.key


def test_the_smallest_recipe_in_full() -> None:
    def entry(key: str, value: s.Value) -> s.Entry:
        return s.Entry(NOWHERE, key, NOWHERE, value)

    def made(kind: str, of: str, path: s.String | None, *entries: s.Entry) -> s.Block:
        return s.Block(NOWHERE, kind, NOWHERE, of, NOWHERE, path, entries)

    assert read(named("1_prune_onnx")).items == (
        made("model", "bert", None, entry("source", call("onnx", string("minilm.onnx")))),
        made(
            "ticket",
            "half",
            None,
            entry("layers", name("linear")),
            entry("criterion", name("magnitude")),
            entry("pattern", s.Ratio(NOWHERE, 2, 4)),
        ),
        made("emit", "onnx", string("minilm-2of4.onnx"), entry("ticket", name("half"))),
    )


def test_a_winning_ticket() -> None:
    recipe = read(named("2_imp_late_rewinding"))
    winning = block(recipe, "winning")
    assert winning["layers"] == s.Binary(NOWHERE, "-", name("linear"), string("fc3"))
    rewind = s.Quantity(NOWHERE, number(100), "steps")
    assert winning["method"] == call("imp", rounds=number(14), rewind=rewind)
    assert recipe.items[0] == s.Param(
        NOWHERE, "target", NOWHERE, s.Percent(NOWHERE, Fraction(19, 20))
    )
    operators = [item.operator for item in recipe.items if isinstance(item, s.Require)]
    assert operators == [">=", ">", "=="]
    assert list(block(recipe, "onnx")) == ["ticket", "target"]
    assert [comment.text[:9] for comment in recipe.comments] == [
        "# lottoc ",
        "# sets: |",
        "# global ",
        "# 0 steps",
        "# the con",
        "# sign(θ_",
        "# shuffle",
    ]


def test_lists_ranges_and_methods() -> None:
    steps = tuple(number(n) for n in (0, 20, 50, 100, 500))
    assert block(read(named("3_instability")), "basin")["at"] == s.Quantity(
        NOWHERE, s.ListValue(NOWHERE, steps), "steps"
    )
    classes = [s.ListValue(NOWHERE, (s.Range(NOWHERE, *ends),)) for ends in ((0, 4), (5, 9))]
    partitions = block(read(named("5_dilt")), "digits")["partitions"]
    assert partitions == call("by_class", *classes)
    require = read(named("4_at_init_and_sanity")).items[-1]
    assert isinstance(require, s.Require)
    shuffle = s.Attribute(NOWHERE, name("checks"), "shuffle", NOWHERE)
    drop = s.Attribute(NOWHERE, shuffle, "drop", NOWHERE)
    assert require.left == s.Call(NOWHERE, drop, (s.Argument(NOWHERE, None, name("winning")),))


def test_masks_are_both_items_and_keys() -> None:
    def mask_of(ticket: str) -> s.Attribute:
        return s.Attribute(NOWHERE, name(ticket), "mask", NOWHERE)

    both = s.Binary(NOWHERE, "&", mask_of("a"), mask_of("b"))
    assert read(named("5b_mask_algebra")).items == (
        s.MaskDefinition(NOWHERE, "both", NOWHERE, both),
    )
    adaptation = read(named("9_adaptation_and_ranking"))
    assert block(adaptation, "moved") == {"mask": mask_of("winning"), "data": name("fashion")}
