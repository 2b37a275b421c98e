"""`activations = int8` in an `emit`: layers that multiply in int8, and what that asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lottoc.fields import at_least
from lottoc.grammar import syntax
from lottoc.lower.program import Data, Emit, Model, Ticket
from lottoc.lower.read import Reader

FORMATS = ("auto", "groups")
"""In which layers may multiply in int8."""


@dataclass(frozen=True)
class Int8:
    """Bytes whose ranges are those of the first examples of a ticket's data."""

    samples: int = 256

    def __post_init__(self) -> None:
        at_least(self, samples=1)


def read_activations(
    reader: Reader,
    keys: Mapping[str, syntax.Entry],
    emit: Emit,
    tickets: Mapping[str, Ticket],
    models: Mapping[str, Model],
    data: Mapping[str, Data],
) -> Emit:
    """The artefact with what `activations` and `data` say of it."""
    if "activations" not in keys:
        if "data" in keys:
            message = "data has no effect: only the ranges of activations are taken from it"
            help = "leave it out, or add  activations = int8"
            reader.findings.error("unused-key", message, keys["data"].key_span, help=help)
        return emit
    value = keys["activations"].value
    head = reader.head(value, "same or int8")
    if head is None:
        return emit
    name, arguments = head
    if name not in ("same", "int8"):
        reader.unknown(name, ("same", "int8"), "activations", value.span)
        return emit
    if name == "same":
        if arguments:
            place = arguments[0].span
            reader.findings.error("too-many-arguments", "same takes no arguments", place)
        return emit
    options = reader.options(arguments, Int8, "int8")
    if options is None:
        return emit
    try:
        found = Int8(**options)
    except ValueError as error:
        reader.findings.error("out-of-range", f"int8: {error}", value.span)
        return emit
    if not _is_suited(reader, keys, emit, tickets, models):
        return emit
    emit = replace(emit, activations="int8", samples=found.samples)
    return replace(emit, data=_data(reader, keys, emit, tickets, models, data))


def _is_suited(
    reader: Reader,
    keys: Mapping[str, syntax.Entry],
    emit: Emit,
    tickets: Mapping[str, Ticket],
    models: Mapping[str, Model],
) -> bool:
    """Whether layers of this artefact can multiply in int8; says why not."""
    place = keys["activations"].span
    if emit.kind != "onnx":
        message, help = f"emit {emit.kind} takes no activations", _instead(emit.kind)
        reader.findings.error("activations-unsuited", message, place, help=help)
        return False
    reasons = [
        (bool(emit.swaps), "weights that are swapped keep their type", "leave swap out"),
        (
            emit.format not in FORMATS,
            f"format = {emit.format} has no layers that do",
            "take  format = groups , with tickets of  pattern = groups(64)",
        ),
        (
            emit.values != "int8",
            f"weights are stored as {'they are' if emit.values == 'same' else emit.values}",
            "add  values = int8",
        ),
    ]
    for wrong, reason, help in reasons:
        if wrong:
            message = f"activations are multiplied in int8 by weights in int8, and {reason}"
            reader.findings.error("activations-unsuited", message, place, help=help)
            return False
    ticket = tickets.get(emit.ticket)
    if ticket is None:
        return True
    if models[ticket.model].source not in ("onnx", "torch"):
        reader.not_yet("int8 activations of language models", place)
        return False
    return True


def _data(
    reader: Reader,
    keys: Mapping[str, syntax.Entry],
    emit: Emit,
    tickets: Mapping[str, Ticket],
    models: Mapping[str, Model],
    data: Mapping[str, Data],
) -> str | None:
    """The data set named, else the ticket's, else the only one there is."""
    ticket = tickets.get(emit.ticket)
    whole = [name for name, each in data.items() if each.part is None]
    name = ticket.data if ticket is not None else None
    place = keys["activations"].span
    if "data" in keys:
        value, place = keys["data"].value, keys["data"].value.span
        if not isinstance(value, syntax.Name):
            reader.mismatch(value, "the name of a data")
            return None
        if value.value not in whole:
            reader.unknown(value.value, whole, "data", value.span)
            return None
        name = value.value
    elif name is None and len(whole) == 1:
        name = whole[0]
    if name is None:
        has = f"must say which of {', '.join(whole)}" if whole else "has none"
        reader.findings.error(
            "needs-data",
            f'int8 activations take their ranges from examples, and "{emit.path}" {has}',
            place,
            help="add  data = …" if whole else 'add  data NAME { calibration = npz("d.npz", …) }',
        )
        return None
    is_torch = ticket is not None and models[ticket.model].source == "torch"
    if is_torch and "train" not in data[name].splits:
        message = f'data "{name}" needs "train": its first example gives the shape of an input'
        reader.findings.error("missing-key", message, place, help="add  train = …")
    return name


def _instead(kind: str) -> str:
    if kind == "fx":
        return (
            "leave it out: with  format = semi_structured   values = int8  activations are int8 too"
        )
    return "leave it out, or write  emit onnx"
