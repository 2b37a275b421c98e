"""Values: each literal, the precedence of operators (Python's is the oracle), and lay-out."""

from __future__ import annotations

import ast
import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottoc.diagnostics import Source, Span
from lottoc.grammar import syntax as s
from lottoc.grammar.parser import parse, parse_value

NOWHERE = Span(Source("nowhere", ""), 0, 0)


def value(text: str) -> s.Value:
    return parse_value(Source("-D x", text))


@pytest.mark.parametrize(
    ("text", "exact", "is_integer"),
    [
        ("0", Fraction(0), True),
        ("007", Fraction(7), True),
        ("3000", Fraction(3000), True),
        ("0.1", Fraction(1, 10), False),
        ("2.0", Fraction(2), False),
        ("1e3", Fraction(1000), False),
        ("1.5E-2", Fraction(3, 200), False),
        ("1e+2", Fraction(100), False),
    ],
)
def test_numbers_are_exact(text: str, exact: Fraction, is_integer: bool) -> None:
    assert value(text) == s.Number(NOWHERE, exact, is_integer)


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("95%", s.Percent(NOWHERE, Fraction(19, 20))),
        ("0.5%", s.Percent(NOWHERE, Fraction(1, 200))),
        ("0..4", s.Range(NOWHERE, 0, 4)),
        ("2:4", s.Ratio(NOWHERE, 2, 4)),
        ("none", s.Name(NOWHERE, "none")),
        ("steps", s.Name(NOWHERE, "steps")),
        ("mask", s.Name(NOWHERE, "mask")),
        ("[]", s.ListValue(NOWHERE, ())),
        ("f()", s.Call(NOWHERE, s.Name(NOWHERE, "f"), ())),
        (r'"a\"b\\c\n\td"', s.String(NOWHERE, 'a"b\\c\n\td')),
        ('"θ # no comment"', s.String(NOWHERE, "θ # no comment")),
        ('""', s.String(NOWHERE, "")),
    ],
)
def test_literals(text: str, node: s.Value) -> None:
    assert value(text) == node


@pytest.mark.parametrize("unit", ["step", "steps", "epoch", "epochs"])
def test_units(unit: str) -> None:
    three = s.Number(NOWHERE, Fraction(3), is_integer=True)
    assert value(f"3 {unit}") == s.Quantity(NOWHERE, three, unit)
    listed = s.ListValue(NOWHERE, (three,))
    assert value(f"[3]{unit}") == s.Quantity(NOWHERE, listed, unit)


def test_a_bound_is_an_argument() -> None:
    bound = s.Bound(NOWHERE, ">=", s.Number(NOWHERE, Fraction(4096), is_integer=True))
    argument = s.Argument(NOWHERE, None, bound)
    assert value("size(>= 4096)") == s.Call(NOWHERE, s.Name(NOWHERE, "size"), (argument,))


def test_commas_may_trail() -> None:
    assert value("f([1, 2,], x = 3,)") == value("f([1, 2], x = 3)")


def test_brackets_group_and_leave_no_node_but_widen_the_span() -> None:
    grouped = value(" ( a | b ) & c")
    assert isinstance(grouped, s.Binary)
    assert isinstance(grouped.left, s.Binary)
    assert grouped.left.span.text == "( a | b )"
    assert grouped.span.text == "( a | b ) & c"
    assert value("((a))") == value("a")
    assert value("(a & b).sparsity.x(1)") == value("((a & b).sparsity).x(1)")


_SIGNS = {
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.BitAnd: "&",
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.USub: "-",
    ast.Invert: "~",
}


def as_python(node: ast.expr) -> s.Value:
    """The tree Python gives an expression of names and operators."""
    match node:
        case ast.Name():
            return s.Name(NOWHERE, node.id)
        case ast.UnaryOp():
            return s.Unary(NOWHERE, _SIGNS[type(node.op)], as_python(node.operand))
        case ast.BinOp():
            sides = as_python(node.left), as_python(node.right)
            return s.Binary(NOWHERE, _SIGNS[type(node.op)], *sides)
    raise AssertionError(node)


chains = st.lists(
    st.tuples(st.sampled_from(["", "~", "-", "~ -"]), st.sampled_from(["a", "b", "(a | b)"])),
    min_size=1,
    max_size=8,
).flatmap(
    lambda terms: st.lists(
        st.sampled_from(list("|^&+-*/")), min_size=len(terms), max_size=len(terms)
    ).map(lambda signs: "".join(f"{c} {u}{n} " for c, (u, n) in zip(signs, terms, strict=True))[1:])
)


@given(chains)
def test_operators_bind_as_in_python(text: str) -> None:
    expected = as_python(ast.parse(text.strip(), mode="eval").body)
    assert value(text) == expected


def blocks(text: str) -> list[s.Block]:
    return [item for item in parse(Source("a", text)).items if isinstance(item, s.Block)]


def keys(block: s.Block) -> list[str]:
    return [entry.key for entry in block.entries]


def test_lay_out_means_nothing() -> None:
    text = 'ticket a { layers = linear - "fc3"   step = 3 steps   mask = b steps = [1] steps }'
    plain = parse(Source("a", text))
    assert keys(blocks(text)[0]) == ["layers", "step", "mask", "steps"]
    for gap in ("\n", "\r\n", "\t", " # note\n", "# a # = b\n\n  #\n"):
        assert parse(Source("b", text.replace(" ", gap))) == plain
    assert parse(Source("c", "\ufeff" + text)) == plain


WORDS = ["param", "mask", "require", "import", "emit", "ticket", "step", "epochs", "model"]


def test_words_of_the_grammar_are_free_as_names() -> None:
    for word in WORDS:
        (block,) = blocks(f"ticket {word} {{ {word} = {word} | a.{word}   x = f(1) }}")
        assert (block.name, keys(block)) == (word, [word, "x"])
    (block,) = blocks(f"ticket a {{ {'   '.join(f'{word} = 60' for word in WORDS)} }}")
    assert keys(block) == WORDS


def test_unknown_kinds_are_blocks() -> None:
    (block,) = blocks("tickt half { layers = all }")
    assert (block.kind, block.name, block.path) == ("tickt", "half", None)


@pytest.mark.parametrize("text", ["", "\n", "# only a comment", "\ufeff", "  # a\r\n # b"])
def test_a_recipe_may_be_empty(text: str) -> None:
    recipe = parse(Source("empty", text))
    assert recipe.items == ()
    assert len(recipe.comments) == text.count("#")


def test_the_grammar_is_read_on_first_use_only() -> None:
    code = "import sys, lottoc.grammar.parser; sys.exit('lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
