"""From a syntax tree back to text: one plain, canonical spelling, without comments."""

from __future__ import annotations

from decimal import Context, Inexact
from fractions import Fraction

from lottoc.grammar import syntax

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\t": r"\t"})
_UNARY = max(syntax.PRECEDENCE.values()) + 1
_ATOM = _UNARY + 1
_EXACT = Context(prec=1000, traps=[Inexact])
_LONGEST = 60


def unparse(node: syntax.Recipe | syntax.Item | syntax.Value) -> str:
    """The text of a tree, such that parsing it gives an equal tree.

    A string may hold any character but control characters other than tab and line feed; a
    number is written exactly, so it must have a finite decimal expansion.
    """
    match node:
        case syntax.Recipe():
            return "\n".join(unparse(item) for item in node.items)
        case syntax.Block():
            path = "" if node.path is None else f" {unparse(node.path)}"
            entries = "".join(f"  {e.key} = {unparse(e.value)}\n" for e in node.entries)
            return f"{node.kind} {node.name}{path} {{\n{entries}}}\n"
        case syntax.Param():
            return f"param {node.name} = {unparse(node.value)}\n"
        case syntax.MaskDefinition():
            return f"mask {node.name} = {unparse(node.value)}\n"
        case syntax.Require():
            return f"require {unparse(node.left)} {node.operator} {unparse(node.right)}\n"
        case syntax.Import():
            return f"import {unparse(node.path)}\n"
    return _value(node, 0)


def _value(node: syntax.Value, level: int) -> str:
    """The text of a value, in brackets if it binds less tightly than `level`."""
    text, binds = _bare(node)
    return f"({text})" if binds < level else text


def _bare(node: syntax.Value) -> tuple[str, int]:
    """The text of a value and how tightly it binds."""
    match node:
        case syntax.Binary():
            level = syntax.PRECEDENCE[node.operator]
            left, right = _value(node.left, level), _value(node.right, level + 1)
            return f"{left} {node.operator} {right}", level
        case syntax.Unary():
            return f"{node.operator}{_value(node.operand, _UNARY)}", _UNARY
        case syntax.Attribute():
            return f"{_base(node.base)}.{node.name}", _ATOM
        case syntax.Call():
            arguments = ", ".join(_argument(argument) for argument in node.arguments)
            return f"{unparse(node.function)}({arguments})", _ATOM
        case syntax.ListValue():
            return f"[{', '.join(unparse(item) for item in node.items)}]", _ATOM
        case syntax.Quantity():
            return f"{unparse(node.value)} {node.unit}", _ATOM
        case syntax.Bound():
            return f"{node.operator} {unparse(node.value)}", _ATOM
    return _token(node), _ATOM


def _base(node: syntax.Value) -> str:
    """What stands before a point: only names, calls and brackets may."""
    bare = isinstance(node, syntax.Name | syntax.Attribute | syntax.Call)
    return unparse(node) if bare else f"({unparse(node)})"


def _argument(node: syntax.Argument) -> str:
    return unparse(node.value) if node.name is None else f"{node.name} = {unparse(node.value)}"


def _token(node: syntax.Value) -> str:
    match node:
        case syntax.Name():
            return node.value
        case syntax.String():
            return f'"{node.value.translate(_ESCAPES)}"'
        case syntax.Number():
            text = str(node.value) if node.is_integer else _decimal(node.value)
            return f"{text}.0" if text.isdigit() and not node.is_integer else text
        case syntax.Percent():
            return f"{_decimal(node.value * 100)}%"
        case syntax.Range():
            return f"{node.start}..{node.stop}"
        case syntax.Ratio():
            return f"{node.kept}:{node.group}"
    raise AssertionError(f"not a token: {node}")


def _decimal(value: Fraction) -> str:
    """`0.05`, or `5e-70` where the plain form is long. Raises `Inexact` for thirds and the like."""
    quotient = _EXACT.divide(value.numerator, value.denominator).normalize(_EXACT)
    plain = f"{quotient:f}"
    return plain if len(plain) <= _LONGEST else f"{quotient:e}"
