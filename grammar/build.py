"""From Lark's parse tree to the nodes of `lottoc.grammar.syntax`."""

from __future__ import annotations

import dataclasses
import re
from fractions import Fraction
from typing import Any, cast

from lark import Token, Tree, v_args
from lark.tree import Meta
from lark.visitors import Transformer_NonRecursive

from lottoc.diagnostics import Findings, Source, Span
from lottoc.grammar import syntax

MAX_DIGITS = 100
MAX_EXPONENT = 300

_ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}


def build(tree: Tree[Token], source: Source, offset: int, findings: Findings) -> syntax.Node:
    """The node a parse tree stands for; `offset` is where the parsed text begins in the source.

    Records `bad-number` and `bad-escape`, the mistakes inside a token.
    """
    return cast(syntax.Node, _Builder(source, offset, findings).transform(tree))


@v_args(meta=True, inline=True)
class _Builder(Transformer_NonRecursive[Token, Any]):
    """One method a rule of the grammar, which fixes what each receives."""

    def __init__(self, source: Source, offset: int, findings: Findings) -> None:
        super().__init__(visit_tokens=False)
        self._source = source
        self._offset = offset
        self._findings = findings

    def _at(self, place: Meta | Token) -> Span:
        start, end = cast(int, place.start_pos), cast(int, place.end_pos)
        return Span(self._source, start + self._offset, end + self._offset)

    def _fraction(self, token: Token) -> Fraction:
        digits, _, exponent = token.rstrip("%").lower().partition("e")
        if len(digits) > MAX_DIGITS or len(exponent) > 5 or abs(int(exponent or 0)) > MAX_EXPONENT:
            self._findings.error(
                "bad-number",
                f"number of more than {MAX_DIGITS} digits, or an exponent beyond {MAX_EXPONENT}",
                self._at(token),
                help="write fewer digits: the first 17 decide, as in  0.1  or  1e-8",
            )
            return Fraction(0)
        return Fraction(token.rstrip("%"))

    def _text(self, token: Token) -> syntax.String:
        span = self._at(token)

        def unescape(match: re.Match[str]) -> str:
            if match[1] not in _ESCAPES:
                start = span.start + 1 + match.start()
                self._findings.error(
                    "bad-escape",
                    f"unknown escape `{match[0]}`",
                    Span(self._source, start, start + len(match[0])),
                    help=r"known escapes: \" \\ \n \t; write \\ for a backslash, or / in a path",
                )
            return _ESCAPES.get(match[1], match[1])

        return syntax.String(span, re.sub(r"\\(.)", unescape, token[1:-1]))

    def recipe(self, _: Meta, *items: syntax.Item) -> syntax.Recipe:
        return syntax.Recipe(Span(self._source, 0, len(self._source.text)), items)

    def block(self, meta: Meta, kind: Token, name: Token, *entries: syntax.Entry) -> syntax.Block:
        return self._block(meta, kind, name, None, entries)

    def emit(
        self, meta: Meta, kind: Token, name: Token, path: Token, *entries: syntax.Entry
    ) -> syntax.Block:
        return self._block(meta, kind, name, self._text(path), entries)

    def _block(
        self,
        meta: Meta,
        kind: Token,
        name: Token,
        path: syntax.String | None,
        entries: tuple[syntax.Entry, ...],
    ) -> syntax.Block:
        kind_span, name_span = self._at(kind), self._at(name)
        return syntax.Block(
            self._at(meta), str(kind), kind_span, str(name), name_span, path, entries
        )

    def entry(self, meta: Meta, key: Token, value: syntax.Value) -> syntax.Entry:
        return syntax.Entry(self._at(meta), str(key), self._at(key), value)

    def param(self, meta: Meta, _: Token, name: Token, value: syntax.Value) -> syntax.Param:
        return syntax.Param(self._at(meta), str(name), self._at(name), value)

    def mask(self, meta: Meta, _: Token, name: Token, value: syntax.Value) -> syntax.MaskDefinition:
        return syntax.MaskDefinition(self._at(meta), str(name), self._at(name), value)

    def require(
        self, meta: Meta, _: Token, left: syntax.Value, operator: Token, right: syntax.Value
    ) -> syntax.Require:
        return syntax.Require(self._at(meta), str(operator), left, right)

    def include(self, meta: Meta, _: Token, path: Token) -> syntax.Import:
        return syntax.Import(self._at(meta), self._text(path))

    def lone_value(self, _: Meta, value: syntax.Value) -> syntax.Value:
        return value

    def chain(self, _: Meta, first: syntax.Value, *rest: Any) -> syntax.Value:
        """`a - b & c | d`: what binds tighter is applied first, then what stands further left."""
        values, waiting = [first], list[str]()
        for operator, value in zip(rest[::2], rest[1::2], strict=True):
            while waiting and syntax.PRECEDENCE[waiting[-1]] >= syntax.PRECEDENCE[operator]:
                _apply(values, waiting.pop())
            waiting.append(str(operator))
            values.append(value)
        while waiting:
            _apply(values, waiting.pop())
        return values[0]

    def unary(self, meta: Meta, operator: Token, operand: syntax.Value) -> syntax.Unary:
        return syntax.Unary(self._at(meta), str(operator), operand)

    def group(self, meta: Meta, value: syntax.Value) -> syntax.Value:
        return dataclasses.replace(value, span=self._at(meta))

    def quantity(
        self, meta: Meta, value: syntax.Number | syntax.ListValue, unit: Token
    ) -> syntax.Quantity:
        return syntax.Quantity(self._at(meta), value, str(unit))

    def percent(self, meta: Meta, token: Token) -> syntax.Percent:
        return syntax.Percent(self._at(meta), self._fraction(token) / 100)

    def number(self, meta: Meta, token: Token) -> syntax.Number:
        return syntax.Number(self._at(meta), self._fraction(token), token.isdigit())

    def range_value(self, meta: Meta, token: Token) -> syntax.Range:
        start, stop = self._counts(token, "..")
        return syntax.Range(self._at(meta), start, stop)

    def ratio(self, meta: Meta, token: Token) -> syntax.Ratio:
        kept, group = self._counts(token, ":")
        return syntax.Ratio(self._at(meta), kept, group)

    def _counts(self, token: Token, separator: str) -> tuple[int, int]:
        """The two whole numbers of a range or ratio."""
        if len(token) > MAX_DIGITS:
            self._findings.error(
                "bad-number",
                f"number of more than {MAX_DIGITS} digits",
                self._at(token),
                help="write fewer digits",
            )
            return 0, 0
        first, second = token.split(separator)
        return int(first), int(second)

    def string(self, _: Meta, token: Token) -> syntax.String:
        return self._text(token)

    def list_value(self, meta: Meta, *items: syntax.Value) -> syntax.ListValue:
        return syntax.ListValue(self._at(meta), items)

    def name(self, meta: Meta, token: Token) -> syntax.Name:
        return syntax.Name(self._at(meta), str(token))

    def attribute(self, meta: Meta, base: syntax.Value, name: Token) -> syntax.Attribute:
        return syntax.Attribute(self._at(meta), base, str(name), self._at(name))

    def call(
        self, meta: Meta, function: syntax.Name | syntax.Attribute, *arguments: syntax.Argument
    ) -> syntax.Call:
        return syntax.Call(self._at(meta), function, arguments)

    def method(
        self, meta: Meta, base: syntax.Value, name: Token, *arguments: syntax.Argument
    ) -> syntax.Call:
        span = self._at(name)
        reach = Span(self._source, base.span.start, span.end)
        return syntax.Call(
            self._at(meta), syntax.Attribute(reach, base, str(name), span), arguments
        )

    def argument(self, meta: Meta, value: syntax.Value) -> syntax.Argument:
        return syntax.Argument(self._at(meta), None, value)

    def named_argument(self, meta: Meta, name: Token, value: syntax.Value) -> syntax.Argument:
        return syntax.Argument(self._at(meta), str(name), value)

    def bound_argument(self, meta: Meta, order: Token, value: syntax.Value) -> syntax.Argument:
        bound = syntax.Bound(self._at(meta), str(order), value)
        return syntax.Argument(self._at(meta), None, bound)


def _apply(values: list[syntax.Value], operator: str) -> None:
    """Replace the last two values by their combination."""
    right = values.pop()
    left = values.pop()
    span = Span(left.span.source, left.span.start, right.span.end)
    values.append(syntax.Binary(span, operator, left, right))
