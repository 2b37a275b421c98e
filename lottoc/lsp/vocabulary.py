"""Which words may stand where: the values of every key and the options of every function.

All of it comes from the compiler's own registries, so a new criterion or method is offered as
soon as it exists.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lottoc import criteria, methods
from lottoc.grammar import syntax
from lottoc.lower.activations import Int8
from lottoc.lower.blocks import SHAPES
from lottoc.lower.emits import KINDS
from lottoc.lower.expressions import METRICS
from lottoc.lower.program import SOURCES
from lottoc.lower.sanity import CONTROLS
from lottoc.lower.selections import SCOPES
from lottoc.lower.signal import ON_COLLAPSE
from lottoc.lower.sources import LOSSES, OPTIMIZERS, PLANNED_MODELS, SCHEDULES
from lottoc.lower.split_blocks import PARTITIONS
from lottoc.lower.tickets import STARTS
from lottoc.masks import patterns
from lottoc.methods.lab import Duration, TicketName
from lottoc.proxies import PROXIES, proxy_class
from lottoc.signature import KINDS_CALLED
from lottoc.training.augment import AUGMENTS

LAYER_WORDS = ("all", *KINDS_CALLED, "first", "last", "size")
EMIT_KINDS = {name: kind.suffix for name, kind in KINDS.items()}
"""What can be emitted, and how its files are called."""
TICKET_PROPERTIES = (*METRICS, "mask")


@dataclass(frozen=True)
class Option:
    """An argument of a function, as the recipe writes it."""

    name: str
    kind: str
    default: str
    choices: tuple[str, ...] = ()


def words(kind: str, key: str, name: str = "") -> tuple[str, ...]:
    """The bare words and functions a key takes, names of the recipe's own things left aside.

    `name` is the name of the block, or what an `emit` writes.
    """
    if kind == "emit":
        return _emit_words(key, name)
    return tuple(_WORDS.get((kind, key), ()))


def _emit_words(key: str, name: str) -> tuple[str, ...]:
    kind = KINDS.get(name, KINDS["onnx"])
    match key:
        case "format":
            return kind.formats
        case "values":
            return kind.values
        case "batch":
            return ("fixed(1)",) if name in ("onnx", "") else ()
        case "activations":
            return ("same", "int8") if name in ("onnx", "") else ()
        case "target":
            return tuple(f'"{target}"' for target in kind.targets)
    return ()


def keys(kind: str) -> tuple[str, ...]:
    """The keys of a block that this version has."""
    return SHAPES[kind].keys if kind in SHAPES else ()


def planned(key: str) -> tuple[str, ...]:
    """Words of the language that this version refuses."""
    return PLANNED_MODELS if key == "source" else ()


def shape(kind: str, key: str, function: str) -> type | None:
    """The dataclass whose fields are the options of a function; None where there is none."""
    match kind, key:
        case "ticket", "criterion" if function in (*criteria.CRITERIA, *criteria.SOLVERS):
            return criteria.options_class(function)
        case "ticket", "method" if function in methods.METHODS:
            return methods.method_class(function)
        case "emit", "activations" if function == "int8":
            return Int8
        case "ticket", "pattern" if function in patterns.PATTERNS:
            return patterns.pattern_class(function)
        case "rank" | "search", "proxies" if function in PROXIES:
            return proxy_class(function)
        case "training", "optimizer":
            return OPTIMIZERS.get(function)
        case "training", "schedule":
            return SCHEDULES.get(function)
        case "training", "augment":
            return AUGMENTS.get(function)
    return None


def options(kind: str, key: str, function: str) -> tuple[Option, ...]:
    """The options of a function in the value of a key."""
    if function == "npz":
        return (Option("x", "text", '"x"'), Option("y", "text", '"y"'))
    if function in ("reinit", "shuffle"):
        return (Option("seed", "whole number", ""),)
    found = shape(kind, key, function)
    if found is None:
        return ()
    kinds = typing.get_type_hints(found)
    return tuple(_option(f, kinds[f.name]) for f in dataclasses.fields(found) if f.init)


def documentation(kind: str, key: str, function: str) -> str:
    """What a criterion or method says of itself."""
    found = shape(kind, key, function)
    own = found.__doc__ if found else None
    if not found or not own or own.startswith(f"{found.__name__}("):
        return ""  # a dataclass without a docstring says its own signature
    return inspect.cleandoc(own)


def written(value: Any) -> str:
    """A default as a recipe writes it."""
    match value:
        case bool():
            return str(value).lower()
        case str() | int() | Duration():
            return str(value)
        case float():
            return f"{value:g}"
        case tuple() | list():
            return f"[{', '.join(written(item) for item in value)}]"
    return ""


def _pattern_words() -> tuple[str, ...]:
    """Examples, and every word that stands alone."""
    alone = (n for n in patterns.PATTERNS if not patterns.pattern_class(n).options())
    return tuple(dict.fromkeys((*patterns.examples(), *alone)))


_WORDS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("model", "source"): tuple(SOURCES),
    ("data", "train"): ("npz", "text"),
    ("data", "test"): ("npz", "text"),
    ("data", "calibration"): ("npz", "text"),
    ("training", "optimizer"): tuple(OPTIMIZERS),
    ("training", "schedule"): tuple(SCHEDULES),
    ("training", "loss"): LOSSES,
    ("training", "augment"): tuple(AUGMENTS),
    ("ticket", "layers"): LAYER_WORDS,
    ("ticket", "on_collapse"): ON_COLLAPSE,
    ("ticket", "criterion"): (*criteria.CRITERIA, *criteria.SOLVERS),
    ("ticket", "scope"): SCOPES,
    ("ticket", "pattern"): _pattern_words(),
    ("ticket", "method"): tuple(methods.METHODS),
    ("ticket", "weights"): STARTS,
    ("ticket", "mask"): ("shuffle",),
    ("sanity", "controls"): CONTROLS,
    ("split", "partitions"): PARTITIONS,
    ("rank", "proxies"): tuple(PROXIES),
    ("search", "source"): ("torch",),
    ("search", "space"): ("choices",),
    ("search", "proxies"): tuple(PROXIES),
}


def _option(field: dataclasses.Field[Any], kind: Any) -> Option:
    required = field.default is dataclasses.MISSING
    default = "" if required else written(field.default)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        (kind,) = (k for k in typing.get_args(kind) if k is not type(None))
    choices: tuple[str, ...] = ()
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
    elif kind is bool:
        choices = ("true", "false")
    return Option(field.name, _NAMES.get(kind, "one of" if choices else "list"), default, choices)


_NAMES: Mapping[Any, str] = {
    bool: "truth value",
    int: "whole number",
    float: "number",
    str: "text",
    Duration: "steps or epochs",
    TicketName: "ticket",
}


def function_of(value: syntax.Value) -> str | None:
    """The name in `name` or `name(…)`."""
    match value:
        case syntax.Name(value=name) | syntax.Call(function=syntax.Name(value=name)):
            return name
    return None
