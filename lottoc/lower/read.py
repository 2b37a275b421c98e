"""Reading typed values out of the syntax tree, with a diagnostic for every mismatch.

A reader returns None after it has recorded an error, so that one run reports them all.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, TypeVar

from lottoc.diagnostics import Findings, Label, Span, did_you_mean
from lottoc.grammar import syntax
from lottoc.methods.lab import Duration, TicketName

T = TypeVar("T")

LARGEST = (1 << 63) - 1
"""Whole number."""

STEP_HELP = "the step of a stability block stands in  imp(rewind = basin.step)  alone"

_WHAT: dict[type, str] = {
    syntax.Number: "a number",
    syntax.Percent: "a percentage",
    syntax.Quantity: "a quantity with a unit",
    syntax.String: "a text in quotes",
    syntax.Name: "a name",
    syntax.Attribute: "a property of something",
    syntax.Call: "a call",
    syntax.Bound: "a bound",
    syntax.ListValue: "a list",
    syntax.Range: "a range",
    syntax.Ratio: "an N:M pattern",
    syntax.Unary: "an expression",
    syntax.Binary: "an expression",
}


def describe(value: syntax.Value) -> str:
    """What kind of value this is, in words."""
    return _WHAT[type(value)]


@dataclass
class Reader:
    """Typed access to values; names of `param`s are replaced by their values first."""

    findings: Findings
    params: Mapping[str, syntax.Value] = field(default_factory=dict)
    used_params: set[str] = field(default_factory=set)

    def resolve(self, value: syntax.Value) -> syntax.Value:
        """The value itself, or that of the parameter it names, placed where it is used."""
        if isinstance(value, syntax.Name) and value.value in self.params:
            self.used_params.add(value.value)
            return dataclasses.replace(self.params[value.value], span=value.span)
        return value

    def mismatch(self, value: syntax.Value, wanted: str, *, help: str | Iterable[str] = ()) -> None:
        """Record that something else was wanted here."""
        self.findings.error(
            "wrong-type",
            f"expected {wanted}, found {describe(value)}",
            Label(value.span, f"this is {describe(value)}"),
            help=help,
        )

    def text(self, value: syntax.Value) -> str | None:
        """A quoted string."""
        value = self.resolve(value)
        if isinstance(value, syntax.String):
            return value.value
        help = f'write "{value.value}"' if isinstance(value, syntax.Name) else ()
        self.mismatch(value, "a text in quotes", help=help)
        return None

    def ticket_name(self, value: syntax.Value) -> TicketName | None:
        """The bare name of a ticket; whether there is one such is seen later."""
        value = self.resolve(value)
        if isinstance(value, syntax.Name):
            return TicketName(value.value)
        self.mismatch(value, "the name of a ticket")
        return None

    def number(self, value: syntax.Value) -> float | None:
        """A number or a percentage, possibly negative."""
        exact = self.fraction(value)
        return None if exact is None else float(exact)

    def fraction(self, value: syntax.Value) -> Fraction | None:
        """An exact number or percentage."""
        value = self.resolve(value)
        match value:
            case syntax.Number() | syntax.Percent():
                return value.value
            case syntax.Unary(operator="-", operand=operand):
                inner = self.fraction(operand)
                return None if inner is None else -inner
        self.mismatch(value, "a number")
        return None

    def integer(self, value: syntax.Value, *, least: int | None = None) -> int | None:
        """A whole number of 64 bits, as IR has them, at least `least`."""
        value = self.resolve(value)
        exact = self.fraction(value)
        if exact is None:
            return None
        if exact.denominator != 1 or isinstance(value, syntax.Percent):
            self.mismatch(value, "a whole number")
            return None
        if least is not None and exact < least:
            self.findings.error(
                "out-of-range", f"{exact} is too small: it must be at least {least}", value.span
            )
            return None
        if exact > LARGEST:
            message = f"{exact} is too large: it must be at most {LARGEST}"
            self.findings.error("out-of-range", message, value.span)
            return None
        return int(exact)

    def share(self, value: syntax.Value, what: str) -> Fraction | None:
        """A fraction in [0, 1], e.g. a sparsity."""
        value = self.resolve(value)
        exact = self.fraction(value)
        if exact is None:
            return None
        if 0 <= exact <= 1:
            return exact
        help = f"did you mean {float(exact):g}%?" if 1 < exact <= 100 else ()
        self.findings.error(
            "out-of-range", f"{what} is a share between 0% and 100%", value.span, help=help
        )
        return None

    def boolean(self, value: syntax.Value) -> bool | None:
        """`true` or `false`."""
        word = self.choice(value, ("true", "false"), "a truth value")
        return None if word is None else word == "true"

    def choice(self, value: syntax.Value, known: Iterable[str], what: str) -> str | None:
        """A word out of a closed list, bare if it is a name and in quotes if it is none."""
        value = self.resolve(value)
        known = list(known)
        if not isinstance(value, syntax.Name | syntax.String):
            self.mismatch(value, f"{what}: {' or '.join(known)}")
            return None
        if value.value not in known:
            self.unknown(value.value, known, what, value.span)
            return None
        if isinstance(value, syntax.String) and value.value.isidentifier():
            self.mismatch(value, "a word without quotes", help=f"write  {value.value}")
            return None
        return value.value

    def unknown(self, word: str, known: Iterable[str], what: str, span: Span) -> None:
        """Record a name that is not known, with the nearest one that is."""
        help = did_you_mean(word, known) or ("there is none",)
        self.findings.error("unknown-name", f'unknown {what} "{word}"', span, help=help)

    def not_yet(self, what: str, span: Span) -> None:
        """Record a part of the language that is specified but not built."""
        self.findings.error(
            "not-yet",
            f"{what} is part of the language, but this version of lottoc does not have it",
            span,
            help="`lottoc --version` says which version this is; CHANGELOG.md what it has",
        )

    def duration(self, value: syntax.Value) -> Duration | None:
        """`100 steps` or `2 epochs`."""
        value = self.resolve(value)
        if isinstance(value, syntax.Quantity) and isinstance(value.value, syntax.Number):
            amount = self.integer(value.value, least=0)
            if amount is None:
                return None
            steps = value.unit in ("step", "steps")
            return Duration(amount, "steps" if steps else "epochs")
        help: str | tuple[str, ...] = ()
        match value:
            case syntax.Number():
                help = "add a unit: 100 steps, or 2 epochs"
            case syntax.Attribute(name="step"):
                help = STEP_HELP
        self.mismatch(value, "a length of training", help=help)
        return None

    def items(self, value: syntax.Value, read: Callable[[syntax.Value], T | None]) -> list[T]:
        """A list, item by item; items that do not fit are reported and left out."""
        value = self.resolve(value)
        if not isinstance(value, syntax.ListValue):
            self.mismatch(value, "a list in [ ]", help=f"write  [{value.span.text}]")
            return []
        return [item for item in map(read, value.items) if item is not None]

    def durations(self, value: syntax.Value) -> list[Duration]:
        """`[1000, 2000] steps` or `[2 epochs, 4 epochs]`."""
        value = self.resolve(value)
        if isinstance(value, syntax.Quantity) and isinstance(value.value, syntax.ListValue):
            unit = value.unit
            return self.items(
                value.value,
                lambda item: (
                    self.duration(syntax.Quantity(item.span, item, unit))
                    if isinstance(item, syntax.Number)
                    else self.duration(item)
                ),
            )
        return self.items(value, self.duration)

    def head(
        self, value: syntax.Value, what: str
    ) -> tuple[str, tuple[syntax.Argument, ...]] | None:
        """The name and arguments of `name` or `name(…)`."""
        value = self.resolve(value)
        match value:
            case syntax.Name(value=name):
                return name, ()
            case syntax.Call(function=syntax.Name(value=name), arguments=arguments):
                return name, arguments
        self.mismatch(value, what)
        return None

    def options(
        self, arguments: tuple[syntax.Argument, ...], shape: type, owner: str
    ) -> dict[str, Any] | None:
        """Keyword arguments read as the fields of a dataclass; None if any does not fit."""
        kinds = typing.get_type_hints(shape)
        fields = [f.name for f in dataclasses.fields(shape) if f.init]
        result: dict[str, Any] = {}
        clean = True
        for position, argument in enumerate(arguments):
            name = argument.name
            if name is None:
                if position >= len(fields):
                    self.findings.error(
                        "too-many-arguments",
                        f"{owner} takes at most {len(fields)} arguments"
                        if fields
                        else f"{owner} takes no arguments",
                        argument.span,
                    )
                    return None
                name = fields[position]
            if name not in fields:
                self.unknown(name, fields, f"option of {owner}", argument.span)
                clean = False
            elif name in result:
                self.findings.error("duplicate-key", f'"{name}" is given twice', argument.span)
                clean = False
            else:
                result[name] = self.typed(argument.value, kinds[name])
                clean = clean and result[name] is not None
        return result if clean else None

    def typed(self, value: syntax.Value, kind: Any) -> Any:
        """A value of an option's declared type."""
        arguments = typing.get_args(kind)
        if typing.get_origin(kind) in (typing.Union, types.UnionType):
            (kind,) = (a for a in arguments if a is not type(None))
            arguments = typing.get_args(kind)
        if typing.get_origin(kind) is Literal:
            return self.choice(value, arguments, "choice")
        if typing.get_origin(kind) is tuple:
            if arguments[0] is Duration:
                return tuple(self.durations(value))
            return tuple(self.items(value, lambda item: self.typed(item, arguments[0])))
        readers: dict[Any, Callable[[syntax.Value], Any]] = {
            bool: self.boolean,
            int: self.integer,
            float: self.number,
            str: self.text,
            Fraction: self.fraction,
            Duration: self.duration,
            TicketName: self.ticket_name,
        }
        return readers[kind](value)
