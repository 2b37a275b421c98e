"""Recipes for property tests: random trees, random spelling of them, and random damage."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from hypothesis import strategies as st

from lottoc.diagnostics import Source, Span
from lottoc.grammar import syntax as s
from lottoc.grammar.tokens import tokens

NOWHERE = Span(Source("nowhere", ""), 0, 0)
_ROOT = Path(__file__).parents[2]
_PATHS = [*(Path(__file__).parent / "recipes").glob("*.lotto"), *_ROOT.glob("examples/*/*.lotto")]
RECIPES = [path.read_text(encoding="utf-8") for path in sorted(_PATHS)]
"""Every recipe of the examples and of the tests of the grammar."""

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

SPACES = ["", " ", "   ", "\t", "\n", "\n\n\n", "\r\n", "\n  "]
REMARKS = ["#\n", " # a\n", "\n# b  \n", "\n\n  #c {\n\n", ' # "d\n# e\n', "#!\r\n\t"]


def respelt(text: str, gaps: Sequence[str], share: float, seed: int) -> str:
    """The words of a text, a share of them followed by other gaps than they had."""
    draw = random.Random(seed)
    words = list(tokens(text))
    begins = [word.start for word in words] + [len(text)]
    out = [text[: begins[0]]]
    for word, begin in zip(words, begins[1:], strict=True):
        gap = text[word.end : begin]
        if draw.random() < share and word.kind != "comment":
            new = draw.choice(gaps)
            would_join = re.search(r"[\w%]{2}", word.text[-1] + text[begin : begin + 1])
            gap = gap if would_join and not new else new
        out.append(word.text + gap)
    return "".join(out)


def stretched(text: str, seed: int) -> str:
    """The recipe with some names longer, so that lines reach the greatest width."""
    draw = random.Random(seed)
    long = {name: name + "_" * draw.choice([0, 0, 5, 12, 40]) for name in _NAME.findall(text)}
    return _NAME.sub(lambda name: long[name[0]], text)


_NAME = re.compile(
    r"\b(?!(?:emit|param|mask|require|import|steps?|epochs?)\b)[a-z]+\b(?=[^\"\n]*$)", re.M
)


def spelt(of: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Recipes with white space, line breaks and comments between any of their words."""
    gaps = st.sampled_from([SPACES, SPACES + REMARKS])
    seeds = st.integers(0, 2**32)
    texts = of | st.builds(stretched, of, seeds)
    return st.builds(respelt, texts, gaps, st.sampled_from([1, 0.3, 0.1, 0.03, 0]), seeds)


written = st.integers(0, len(RECIPES) - 1).map(RECIPES.__getitem__)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A recipe after a few cuts, insertions and swaps."""
    text = draw(written)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        middle = draw(st.sampled_from(WORDS) | st.text(max_size=3) | st.just(text[start:end] * 2))
        text = text[:start] + middle + text[end:]
    return text
