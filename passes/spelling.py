"""Pipelines as text: `unroll-methods,check-collapse{least=8}`, the syntax of MLIR and xDSL."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterator
from typing import Any

from xdsl.passes import ModulePass
from xdsl.utils.arg_spec import ArgSpec, PipelineLexer, SpecTokenKind, parse_pipeline
from xdsl.utils.exceptions import ArgSpecParseError

from lottoc.diagnostics import Diagnostic, Label, RecipeError, Source, Span, did_you_mean
from lottoc.fields import OptionError, build
from lottoc.passes import PASSES, pass_class


def options_of(shape: type[ModulePass]) -> list[str]:
    """The options of a pass, the fields of its dataclass: `least: int = 1`."""
    kinds = typing.get_type_hints(shape)
    return [
        f"{field.name.replace('_', '-')}: {_kind(kinds[field.name])} = {_default(field.default)}"
        for field in dataclasses.fields(shape)
        if field.init
    ]


def _kind(kind: Any) -> str:
    if typing.get_origin(kind) is tuple:
        return f"{_kind(typing.get_args(kind)[0])},…"
    return str(getattr(kind, "__name__", kind))


def _default(default: object) -> str:
    return "none" if default == () else str(default).lower()


def parse(text: str) -> list[ModulePass]:
    """The passes that a pipeline names, with their options.

    Raises `RecipeError`: pipeline-syntax, pass-unknown, pass-option.
    """
    source = Source("--passes", text)
    try:
        specs = list(parse_pipeline(text))
        places = list(_names(text))
    except (ArgSpecParseError, ValueError) as error:
        raise _malformed(source, error) from error
    return [
        _instance(spec, Span(source, start, end))
        for spec, (start, end) in zip(specs, places, strict=True)
    ]


def _names(text: str) -> Iterator[tuple[int, int]]:
    """Where the names of passes stand: the words outside braces."""
    lexer, depth = PipelineLexer(text), 0
    while (token := lexer.lex()).kind is not SpecTokenKind.EOF:
        depth += (token.kind is SpecTokenKind.L_BRACE) - (token.kind is SpecTokenKind.R_BRACE)
        if depth == 0 and token.kind is SpecTokenKind.IDENT:
            yield token.span.start, token.span.end


def _malformed(source: Source, error: BaseException) -> RecipeError:
    """xDSL tells the place in its message only: `pass-pipeline:1:3`, the line, a caret, why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    found = re.search(r"^pass-pipeline:(\d+):(\d+)$", str(error), re.MULTILINE)
    line, column = (int(found[1]), int(found[2])) if found else (1, 1)
    start = source.line_starts[line - 1] + column - 1
    reason = lines[-1][0].lower() + lines[-1][1:]
    help = ("write  a,b{option=1 other=x,y}  without spaces around the commas",)
    label = Label(Span(source, start, start))
    return RecipeError([Diagnostic("pipeline-syntax", reason, (label,), help)])


def _instance(spec: ArgSpec, span: Span) -> ModulePass:
    if spec.name not in PASSES:
        help = did_you_mean(spec.name, PASSES)
        message = f'there is no pass "{spec.name}"'
        raise RecipeError([Diagnostic("pass-unknown", message, (Label(span),), help)])
    shape = pass_class(spec.name)
    try:
        return build(shape, _values(spec, typing.get_type_hints(shape)))
    except OptionError as error:
        known = "; ".join(options_of(shape))
        help = error.help or (f"its options: {known}" if known else "it has no options",)
        message = f"{spec.name}: {error}"
        raise RecipeError([Diagnostic("pass-option", message, (Label(span),), help)]) from error


def _values(spec: ArgSpec, kinds: dict[str, Any]) -> dict[str, Any]:
    """A name alone is `true`, one value is itself, several are a list."""
    result: dict[str, Any] = {}
    for name, values in spec.normalize_parameter_names().parameters.items():
        many = len(values) > 1 or typing.get_origin(kinds.get(name)) is tuple
        result[name] = list(values) if many else values[0] if values else True
    return result
