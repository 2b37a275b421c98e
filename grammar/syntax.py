"""The syntax tree of a recipe: every node keeps the span of the text it came from.

Nodes say what was written, not what it means; names are resolved and types checked in
`lottoc.lower`.
Spans take no part in equality, so two trees are equal when their texts mean the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from lottoc.diagnostics import Span


@dataclass(frozen=True)
class Node:
    """Any part of a recipe."""

    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True)
class Number(Node):
    """`3000`, `0.1`, `1e-3`; exact, so that `95%` of a count is a whole number of weights."""

    value: Fraction
    is_integer: bool


@dataclass(frozen=True)
class Percent(Node):
    """`95%`; `value` is the fraction, 19/20."""

    value: Fraction


@dataclass(frozen=True)
class Quantity(Node):
    """A number or list with a unit: `3000 steps`, `2 epochs`, `[0, 20, 50] steps`."""

    value: Number | ListValue
    unit: str


@dataclass(frozen=True)
class String(Node):
    """`"fc3"`, unescaped."""

    value: str


@dataclass(frozen=True)
class Name(Node):
    """A bare word: `magnitude`, `winning`, `none`."""

    value: str


@dataclass(frozen=True)
class Attribute(Node):
    """`winning.accuracy`, `checks.shuffle.drop`."""

    base: Value
    name: str
    name_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True)
class Argument(Node):
    """One argument of a call; `name` is None for a positional one."""

    name: str | None
    value: Value


@dataclass(frozen=True)
class Call(Node):
    """`sgd(lr = 0.1, momentum = 0.9)`, `size(>= 4096)`, `checks.shuffle.drop(winning)`."""

    function: Name | Attribute
    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class Bound(Node):
    """A one-sided comparison used as an argument: `>= 4096`."""

    operator: str
    value: Value


@dataclass(frozen=True)
class ListValue(Node):
    """`[small, wide, deep]`."""

    items: tuple[Value, ...]


@dataclass(frozen=True)
class Range(Node):
    """`0..4`, both ends included."""

    start: int
    stop: int


@dataclass(frozen=True)
class Ratio(Node):
    """`2:4`."""

    kept: int
    group: int


@dataclass(frozen=True)
class Unary(Node):
    """`~mask`, `-1`."""

    operator: str
    operand: Value


PRECEDENCE = {"|": 1, "^": 2, "&": 3, "+": 4, "-": 4, "*": 5, "/": 5}
"""How tightly each binary operator binds; equals group from the left. Unary ones bind tighter."""


@dataclass(frozen=True)
class Binary(Node):
    """`a | b`, `linear - "fc3"`, `dense.accuracy - 1%`, `dense.perplexity * 1.5`."""

    operator: str
    left: Value
    right: Value


Value = (
    Number
    | Percent
    | Quantity
    | String
    | Name
    | Attribute
    | Call
    | Bound
    | ListValue
    | Range
    | Ratio
    | Unary
    | Binary
)


@dataclass(frozen=True)
class Entry(Node):
    """`key = value` inside a block."""

    key: str
    key_span: Span = field(compare=False, repr=False)
    value: Value


@dataclass(frozen=True)
class Block(Node):
    """`ticket winning { … }`, `emit onnx "lenet.onnx" { … }`.

    `kind` is the first word; `name` the second; `path` the quoted path of an emit.
    """

    kind: str
    kind_span: Span = field(compare=False, repr=False)
    name: str
    name_span: Span = field(compare=False, repr=False)
    path: String | None
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Param(Node):
    """`param target = 95%`: a default that `-D target=90%` replaces."""

    name: str
    name_span: Span = field(compare=False, repr=False)
    value: Value


@dataclass(frozen=True)
class MaskDefinition(Node):
    """`mask both = a.mask & b.mask`."""

    name: str
    name_span: Span = field(compare=False, repr=False)
    value: Value


@dataclass(frozen=True)
class Require(Node):
    """`require winning.accuracy >= dense.accuracy - 1%`."""

    operator: str
    left: Value
    right: Value


@dataclass(frozen=True)
class Import(Node):
    """`import "presets/llm.lotto"`."""

    path: String


Item = Block | Param | MaskDefinition | Require | Import


@dataclass(frozen=True)
class Recipe(Node):
    """A whole file; `comments` are kept, in order, for the formatter and the editor."""

    items: tuple[Item, ...]
    comments: tuple[Span, ...] = field(default=(), compare=False, repr=False)


def children(node: Node) -> Iterator[Node]:
    """The nodes directly inside a node, in the order they were written."""
    for name in node.__dataclass_fields__:
        value = getattr(node, name)
        parts = value if isinstance(value, tuple) else (value,)
        yield from (child for child in parts if isinstance(child, Node))


def walk(node: Node) -> Iterator[tuple[Node, int]]:
    """Every node of a tree with its depth below `node`, parents first; safe at any depth."""
    pending = [(node, 0)]
    while pending:
        current, depth = pending.pop()
        yield current, depth
        pending += [(child, depth + 1) for child in reversed(list(children(current)))]
