"""Checking mask expressions and the numbers of `require`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field

from lottoc.diagnostics import Label
from lottoc.grammar import syntax
from lottoc.lower.program import (
    SOURCES,
    Arithmetic,
    Constant,
    MaskBinary,
    MaskExpression,
    MaskNot,
    MaskOf,
    MaskShuffle,
    Metric,
    Number,
    Sanity,
    SourceKind,
    Ticket,
    tickets_of,
)
from lottoc.lower.read import STEP_HELP, Reader
from lottoc.lower.sanity import control_name
from lottoc.lower.split_blocks import ticket_name

EVALUATED = ("accuracy", "loss", "perplexity")
METRICS = ("accuracy", "loss", "perplexity", "sparsity", "params", "flops")
_DROP = "for example  checks.shuffle.drop(snip)"
_SIGNS = ("+", "-", "*", "/")


@dataclass
class Expressions:
    """Resolves names of tickets and masks inside expressions."""

    reader: Reader
    tickets: Set[str]
    masks: Mapping[str, syntax.Value]
    stabilities: Set[str] = frozenset()
    sanities: dict[str, Sanity | None] = field(default_factory=dict)
    """By name; None for a block with an error, which is told."""
    evaluated: Callable[[str, str], bool] = lambda ticket, metric: True
    """Whether a ticket has a model and test data that a metric can be measured with."""
    source: Callable[[str], SourceKind] = lambda ticket: "torch"
    """Where a ticket's model comes from."""
    uncounted: Callable[[str], str] = lambda ticket: ""
    """Why the work of a ticket's network on an example cannot be counted, if that is so."""

    def mask(self, value: syntax.Value, inside: tuple[str, ...] = ()) -> MaskExpression | None:
        """`winning.mask`, `a.mask & b.mask`, `shuffle(winning)`, or the name of either."""
        value = self.reader.resolve(value)
        match value:
            case syntax.Name(value=name) if name in self.masks:
                if name in inside:
                    self.reader.findings.error(
                        "cyclic-mask", f'mask "{name}" is defined by itself', value.span
                    )
                    return None
                return self.mask(self.masks[name], (*inside, name))
            case syntax.Name(value=name):
                return MaskOf(name) if self._ticket(value) else None
            case syntax.Attribute(base=base, name="mask") if ticket_name(base) is not None:
                return MaskOf(str(ticket_name(base))) if self._ticket(base) else None
            case syntax.Attribute() | syntax.Call() if ticket_name(value) is not None:
                return MaskOf(str(ticket_name(value))) if self._ticket(value) else None
            case syntax.Unary(operator="~", operand=operand):
                inner = self.mask(operand, inside)
                return None if inner is None else MaskNot(inner)
            case syntax.Binary(operator=sign, left=left, right=right) if sign in "&|^-":
                lhs, rhs = self.mask(left, inside), self.mask(right, inside)
                return None if lhs is None or rhs is None else MaskBinary(sign, lhs, rhs)
            case syntax.Call(function=syntax.Name(value="shuffle")):
                return self._shuffle(value, inside)
        self.reader.mismatch(
            value, "a mask", help="for example  winning.mask  or  shuffle(winning)"
        )
        return None

    def _shuffle(self, call: syntax.Call, inside: tuple[str, ...]) -> MaskShuffle | None:
        positional = [a for a in call.arguments if a.name is None]
        named = [a for a in call.arguments if a.name is not None]
        if len(positional) != 1 or any(a.name != "seed" for a in named):
            self.reader.findings.error(
                "wrong-type",
                "shuffle takes one ticket or mask",
                call.span,
                help="write shuffle(winning) or shuffle(winning, seed = 1)",
            )
            return None
        of = self.mask(positional[0].value, inside)
        seed = self.reader.integer(named[0].value, least=0) if named else 0
        return None if of is None or seed is None else MaskShuffle(of, seed)

    def _ticket(self, value: syntax.Value) -> bool:
        name = ticket_name(value)
        assert name is not None
        if name in self.tickets and name != "dense":
            return True
        if name == "dense":
            help = "name a ticket of the recipe"
            self.reader.findings.error("wrong-type", '"dense" has no mask', value.span, help=help)
        else:
            known = [*self.tickets - {"dense"}, *self.masks]
            self.reader.unknown(name, known, "ticket", value.span)
        return False

    def number(self, value: syntax.Value) -> Number | None:
        """An arithmetic expression over metrics of tickets."""
        value = self.reader.resolve(value)
        match value:
            case syntax.Number() | syntax.Percent():
                return Constant(float(value.value))
            case syntax.Name(value="none"):
                return Constant(0.0)
            case syntax.Unary(operator="-", operand=operand):
                inner = self.number(operand)
                return None if inner is None else Arithmetic("-", Constant(0.0), inner)
            case syntax.Binary(operator=sign, left=left, right=right) if sign in _SIGNS:
                lhs, rhs = self.number(left), self.number(right)
                if sign == "/" and rhs == Constant(0.0):
                    self.reader.findings.error(
                        "out-of-range", "nothing can be divided by 0", right.span
                    )
                    return None
                return None if lhs is None or rhs is None else Arithmetic(sign, lhs, rhs)
            case syntax.Attribute(base=base) if ticket_name(base) is not None:
                return self._metric(str(ticket_name(base)), value)
            case syntax.Call(function=syntax.Name(value="collapse"), arguments=(argument,)):
                name = ticket_name(argument.value)
                if name is None:
                    self.reader.mismatch(argument.value, "a ticket")
                elif self._ticket(argument.value):
                    return Metric(name, "collapsed")
                return None
            case syntax.Call(function=syntax.Attribute(name="drop")):
                return self._drop(value)
            case syntax.Call(function=syntax.Name(value=name)):
                self.reader.unknown(name, ("collapse",), "function", value.function.span)
                return None
        help = ""
        match value:
            case syntax.Attribute(
                base=syntax.Attribute(base=base, name="specialist" | "specialists"), name=metric
            ):
                help = f"name one of them:  {base.span.text}.specialist(1).{metric}"
        self.reader.mismatch(value, "a number or a metric such as winning.accuracy", help=help)
        return None

    def _drop(self, call: syntax.Call) -> Number | None:
        """`checks.shuffle.drop(snip)`: what of the accuracy a control loses."""
        match call:
            case syntax.Call(
                function=syntax.Attribute(
                    base=syntax.Attribute(base=syntax.Name() as block, name=control) as middle
                ),
                arguments=(syntax.Argument(name=None, value=syntax.Name() as ticket),),
            ):
                pass
            case _:
                self.reader.mismatch(call, "a drop of one ticket under a control", help=_DROP)
                return None
        found = self.sanities.get(block.value)
        if block.value not in self.sanities:
            self.reader.unknown(block.value, self.sanities, "sanity block", block.span)
        elif found is None:
            pass
        elif control not in found.controls:
            self.reader.unknown(control, found.controls, "control", middle.name_span)
        elif ticket.value not in found.tickets:
            self.reader.unknown(ticket.value, found.tickets, "ticket", ticket.span)
        else:
            original = Metric(ticket.value, "accuracy")
            twin = Metric(control_name(found.name, control, ticket.value), "accuracy")
            return Arithmetic("-", original, twin)
        return None

    def _metric(self, ticket: str, value: syntax.Attribute) -> Metric | None:
        if ticket in self.stabilities:
            self.reader.mismatch(value, "a metric of a ticket", help=STEP_HELP)
            return None
        if ticket in self.sanities:
            self.reader.mismatch(value, "a metric of a ticket", help=_DROP)
            return None
        if ticket not in self.tickets:
            self.reader.unknown(ticket, self.tickets, "ticket", value.base.span)
            return None
        if value.name not in METRICS:
            self.reader.unknown(value.name, METRICS, "metric", value.name_span)
            return None
        if value.name in EVALUATED and not self.evaluated(ticket, value.name):
            self._not_evaluated(ticket, value)
            return None
        if value.name == "flops" and (reason := self.uncounted(ticket)):
            self.reader.findings.error(
                "flops-needs-data",
                f"the multiply-adds of an example cannot be counted: {reason}",
                Label(value.span, "needs an example"),
                help="add a data block, whose first example counts; of several, name the ticket's",
            )
            return None
        return Metric(ticket, value.name)

    def _not_evaluated(self, ticket: str, metric: syntax.Attribute) -> None:
        source, helps = self.source(ticket), _NOT_EVALUATED
        help = helps["onnx"] if source == "onnx" and metric.name != "perplexity" else ""
        if not help:
            measured = SOURCES[source]
            help = helps[source] if metric.name in measured else _elsewhere(metric.name, measured)
        self.reader.findings.error(
            "no-test-data",
            f'"{ticket}" cannot be evaluated',
            Label(metric.span, f"needs {metric.name}"),
            help=help,
        )


_TEXT = 'give it a data block with a test text: test = text("test.txt", length = 2048)'
_NOT_EVALUATED: Mapping[SourceKind, str] = {
    "onnx": 'an ONNX model is not run on data; take it from its source: torch("file.py:function")',
    "torch": 'give it a data block with a test split: test = npz("data.npz", …)',
    "hf": _TEXT,
    "gguf": _TEXT,
}


def _elsewhere(metric: str, measured: tuple[str, ...]) -> str:
    if metric == "perplexity":
        return "it is measured of language models: hf(…) and gguf(…)"
    return f"{metric} is not measured of such a model; {' and '.join(measured)} can be"


def made_from_themselves(tickets: Mapping[str, Ticket]) -> list[Ticket]:
    """The tickets whose mask is made from itself, directly or by others."""

    def reaches(name: str, goal: str, seen: set[str]) -> bool:
        if name in seen or name not in tickets:
            return False
        seen.add(name)
        return any(
            used == goal or reaches(used, goal, seen)
            for used in (*tickets_of(tickets[name].mask), *tickets[name].exclude)
        )

    return [ticket for name, ticket in tickets.items() if reaches(name, name, set())]
