"""Plain data as the fields of a dataclass: the options of methods, criteria and trainings in IR."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from lottoc.diagnostics import did_you_mean
from lottoc.methods.lab import Duration

T = TypeVar("T")


class OptionError(ValueError):
    """An option that is unknown, missing or of another type; `help` says which there are."""

    def __init__(self, message: str, help: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.help = help


def build(shape: type[T], given: Mapping[str, Any]) -> T:
    """An instance of a dataclass; lists become tuples, whole numbers lengths in steps.

    Raises `OptionError`, also for what the dataclass itself refuses with a `ValueError`.
    """
    fields = {f.name: f for f in dataclasses.fields(typing.cast(Any, shape)) if f.init}
    kinds = typing.get_type_hints(shape)
    for name in given:
        if name not in fields:
            raise OptionError(f'unknown option "{name}"', did_you_mean(name, fields))
    for name, field in fields.items():
        missing = dataclasses.MISSING
        if name not in given and field.default is missing and field.default_factory is missing:
            raise OptionError(f'option "{name}" is missing')
    values = {name: _typed(name, value, kinds[name]) for name, value in given.items()}
    try:
        return shape(**values)
    except ValueError as error:
        raise OptionError(str(error)) from error


def at_least(made: object, **bounds: float) -> None:
    """Raise `ValueError` for the first option of a dataclass that is below its bound."""
    for name, bound in bounds.items():
        if getattr(made, name) < bound:
            raise ValueError(f"{name} is {getattr(made, name)}, not at least {bound}")


def _typed(name: str, value: Any, kind: Any) -> Any:
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        (kind,) = (a for a in arguments if a is not type(None))
        return _typed(name, value, kind)
    if origin is Literal and value in arguments:
        return value
    if origin is tuple and isinstance(value, list):
        variadic = len(arguments) == 2 and arguments[1] is ...
        if variadic or len(value) == len(arguments):
            parts = [arguments[0]] * len(value) if variadic else arguments
            return tuple(_typed(name, v, part) for v, part in zip(value, parts, strict=True))
    if kind is Duration and type(value) is int and value >= 0:
        return Duration(value, "steps")
    if kind is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if origin is None and type(value) is kind:
        return value
    raise OptionError(f'option "{name}" is {value!r}, not {_wanted(kind)}')


def _wanted(kind: Any) -> str:
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is Literal:
        return " or ".join(map(str, arguments))
    if typing.get_origin(kind) is tuple:
        return f"a list of {_wanted(arguments[0])}"
    names = {
        int: "a whole number",
        float: "a finite number",
        bool: "a truth value",
        str: "a text",
        Duration: "a number of steps",
    }
    return names.get(kind, str(kind))
