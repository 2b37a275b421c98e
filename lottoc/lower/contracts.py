"""Contracts that are decided before any ticket is found, because of what their sides can be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lottoc.diagnostics import Findings, Label
from lottoc.lower.program import Arithmetic, Constant, Metric, Number, Requirement

SHARES = ("accuracy", "sparsity")
_ROUNDING = 1e-6
"""Terms that cancel on paper may leave this much when they are computed."""

_USEFUL = "compare with what could fail, e.g.  require t.accuracy >= dense.accuracy - 1%"
_POSSIBLE = "change the bound, or remove the contract"
_OTHER = "name another ticket on one of the sides"

Range = tuple[float, float]


def contract(requirement: Requirement, findings: Findings) -> None:
    """Warn of a contract that always holds, and refuse one that never can."""
    left, right = requirement.left, requirement.right
    always = holds(requirement.operator, left, right)
    if always is None:
        return
    place = Label(requirement.span, _because(left, right))
    same = {*metrics(left)} & {*metrics(right)}
    way = _OTHER if same else _percent(left, right) or (_USEFUL if always else _POSSIBLE)
    if always:
        message = "this contract always holds, whatever the tickets are"
        findings.warning("require-always", message, place, help=way)
    else:
        message = "this contract can never hold"
        findings.error("require-never", message, place, help=way)


def holds(operator: str, left: Number, right: Number) -> bool | None:
    """Whether a comparison is decided by the ranges of its sides alone; None if it is open."""
    if left == right:
        return operator in (">=", "<=", "==")
    decided = _compare(operator, bounds(left), bounds(right))
    if decided is not None:
        return decided
    low, high = _difference(left, right)
    zero = (-_ROUNDING, _ROUNDING)
    return None if math.isnan(low + high) else _compare(operator, (low, high), zero)


def _compare(operator: str, left: Range, right: Range) -> bool | None:
    """Whether a comparison holds for all numbers of two ranges, for none, or (None) for some."""
    (low, high), (least, most) = left, right
    match operator:
        case "<" | "<=":
            return _compare(operator.replace("<", ">"), right, left)
        case ">":
            return True if low > most else False if high <= least else None
        case ">=":
            return True if low >= most else False if high < least else None
    apart = high < least or low > most
    same = low == high == least == most
    return (operator == "!=") if apart else (operator == "==") if same else None


def bounds(number: Number) -> Range:
    """The least and the largest that a number can be."""
    match number:
        case Constant(value=value):
            return value, value
        case Metric(name=name):
            return 0.0, 1.0 if name in SHARES else math.inf
        case Arithmetic(operator=operator, left=left, right=right):
            return _arithmetic(operator, bounds(left), bounds(right))


def _arithmetic(operator: str, left: Range, right: Range) -> Range:
    (a, b), (c, d) = left, right
    if operator == "+":
        return _known(a + c, b + d)
    if operator == "-":
        return _known(a - d, b - c)
    if operator == "/" and c <= 0 <= d:
        return -math.inf, math.inf
    ends = [x * y if operator == "*" else x / y for x in left for y in right]
    return _known(min(ends), max(ends)) if not any(map(math.isnan, ends)) else _known(math.nan, 0)


def _known(low: float, high: float) -> Range:
    """A range, or everything where infinities left nothing known of it."""
    return (-math.inf, math.inf) if math.isnan(low) or math.isnan(high) else (low, high)


@dataclass(frozen=True)
class _Sum:
    """A constant and multiples of metrics, or of whatever else is not a sum."""

    constant: float
    terms: Mapping[Number, float]

    def plus(self, other: _Sum, times: float = 1.0) -> _Sum:
        terms = {
            atom: self.terms.get(atom, 0.0) + times * other.terms.get(atom, 0.0)
            for atom in (*self.terms, *other.terms)
        }
        left = {atom: factor for atom, factor in terms.items() if factor}
        return _Sum(self.constant + times * other.constant, left)


def _difference(left: Number, right: Number) -> Range:
    """The range of left - right, once what stands on both sides is gone."""
    rest = _sum(left).plus(_sum(right), -1.0)
    low = high = rest.constant
    for atom, factor in rest.terms.items():
        ends = sorted(factor * end for end in bounds(atom))
        low, high = low + ends[0], high + ends[1]
    return low, high


def _sum(number: Number) -> _Sum:
    match number:
        case Constant(value=value):
            return _Sum(value, {})
        case Arithmetic(operator="+" | "-" as sign, left=left, right=right):
            return _sum(left).plus(_sum(right), 1.0 if sign == "+" else -1.0)
        case Arithmetic(operator="*", left=Constant(value=factor), right=of):
            return _Sum(0.0, {}).plus(_sum(of), factor)
        case Arithmetic(operator="*", left=of, right=Constant(value=factor)):
            return _Sum(0.0, {}).plus(_sum(of), factor)
        case Arithmetic(operator="/", left=of, right=Constant(value=factor)) if factor:
            return _Sum(0.0, {}).plus(_sum(of), 1.0 / factor)
    return _Sum(0.0, {number: 1.0})


def metrics(number: Number) -> Iterator[Metric]:
    """The metrics in an expression, from left to right."""
    match number:
        case Metric():
            yield number
        case Arithmetic(left=left, right=right):
            yield from metrics(left)
            yield from metrics(right)


def _because(left: Number, right: Number) -> str:
    """What makes a comparison decided, for a reader who wonders."""
    mine, theirs = list(metrics(left)), list(metrics(right))
    if not mine and not theirs:
        return "no ticket is measured"
    both = [metric for metric in mine if metric in theirs]
    if both:
        return f"{_spelt(both[0])} is on both sides"
    metric = (mine + theirs)[0]
    limits = "is between 0% and 100%" if metric.name in SHARES else "is never below 0"
    return f"{_spelt(metric)} {limits}"


def _spelt(metric: Metric) -> str:
    if metric.name == "collapsed":
        return f"collapse({metric.ticket})"
    return f"{metric.ticket}.{metric.name}"


def _percent(left: Number, right: Number) -> str:
    """The bound with the percent sign that was forgotten, if that is what happened."""
    for bound, other in ((left, right), (right, left)):
        shares = [metric.name in SHARES for metric in metrics(other)]
        if isinstance(bound, Constant) and 1 < bound.value < 100 and shares and all(shares):
            return f"did you mean {bound.value:g}%?"
    return ""
