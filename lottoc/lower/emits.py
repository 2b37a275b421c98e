"""`emit KIND "path" { … }`: what may be written, and in which forms."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lottoc.diagnostics import InputError, Label
from lottoc.grammar import syntax
from lottoc.lower.activations import read_activations
from lottoc.lower.batches import Batch, check_fixed, read_batch
from lottoc.lower.blocks import entries
from lottoc.lower.program import Data, Emit, MaskOf, Model, Ticket, adapting
from lottoc.lower.read import Reader
from lottoc.lower.split_blocks import SPECIALISTS, core_name, specialist_name, ticket_name

LEFT_OUT = {
    "blocks": (
        "masks of blocks run in groups, each band of rows sharing its columns",
        "take  format = groups , or  auto , which groups layers where that pays",
    ),
    "condensed": (
        "gathering the inputs of each output is slower than dense up to 95 % of zeros",
        "take  format = packed , which is as small and runs as dense; patterns that share inputs"
        " between outputs, such as  groups(64) , run faster",
    ),
}
"""Formats for ONNX tried in `benchmarks/formats_study.py` and not built: why, what instead."""


@dataclass(frozen=True)
class Kind:
    """What the keys of an artefact of one kind take; the first of each is the default."""

    formats: tuple[str, ...]
    values: tuple[str, ...]
    targets: tuple[str, ...]
    target_files: bool
    """Whether a target may also be the path of a file that `lottoc calibrate` wrote."""
    suffix: str
    narrowing: tuple[str, ...]
    """The formats that can store values in a narrower type."""


KINDS: Mapping[str, Kind] = {
    "onnx": Kind(
        ("auto", "dense", "sparse", "packed", "groups"),
        ("same", "float32", "float16", "bfloat16", "int8"),
        ("onnxruntime-cpu",),
        True,
        ".onnx",
        ("auto", "dense", "sparse", "packed", "groups"),
    ),
    "fx": Kind(
        ("auto", "dense", "masked", "csr", "semi_structured"),
        ("same", "float16", "bfloat16", "int8"),
        ("torch-cpu", "nvidia-ampere", "nvidia-hopper"),
        False,
        ".pt2",
        ("auto", "semi_structured"),
    ),
    "adapter": Kind(("xor",), ("same",), ("torch",), False, ".safetensors", ()),
    "hf": Kind(("dense",), ("same",), ("transformers",), False, "", ()),
}

SOURCES_OF: Mapping[str, tuple[str, ...]] = {
    "onnx": ("onnx", "torch", "hf", "gguf"),
    "fx": ("torch", "hf", "gguf"),
    "adapter": ("torch",),
    "hf": ("hf", "gguf"),
}
"""What models an artefact of a kind can be made from, by where they come from."""


def inside_output(path: str) -> bool:
    """Whether an artefact's path stays inside the output folder, and beside the report."""
    parts = Path(path)
    return not (
        parts.is_absolute() or ".." in parts.parts or parts.name in ("", ".", "report.json")
    )


def check_emit(
    reader: Reader,
    block: syntax.Block,
    folder: Path,
    names: set[str],
    tickets: Mapping[str, Ticket],
    models: Mapping[str, Model],
    data: Mapping[str, Data],
    winner: Callable[[syntax.Value], str | None],
) -> Emit | None:
    """Read an `emit` block; `names` are all tickets, `tickets` those that were read.

    `winner` says which model `shapes.best` stands for.
    """
    if block.name not in KINDS:
        reader.unknown(block.name, KINDS, "kind of artefact", block.name_span)
        return None
    kind = KINDS[block.name]
    keys = entries(reader, block)
    if len(kind.formats) == 1:
        keys = _without_choices(reader, block, keys)
    path = _artefact_path(reader, block, kind)
    said = keys["ticket"].value if "ticket" in keys else None
    ticket = ticket_name(said) if said is not None else None
    if isinstance(said, syntax.Attribute) and isinstance(said.base, syntax.Name):
        ticket = f"{said.base.value}.{said.name}"
    if isinstance(said, syntax.Attribute) and said.name == "mask" and ticket not in names:
        help = f"write  ticket = {said.base.span.text}"
        reader.mismatch(said, "a ticket, which is shipped with its mask", help=help)
        return None
    if said is not None and ticket is None:
        help = "a split has tickets too, as  digits.core  and  digits.specialist(1)"
        reader.mismatch(said, "the name of a ticket", help=help)
        return None
    if said is not None and ticket not in names:
        reader.unknown(str(ticket), names, "ticket", said.span)
        return None

    def word(key: str, known: tuple[str, ...]) -> str | None:
        if key not in keys:
            return known[0]
        return reader.choice(keys[key].value, known, key)

    form = None if _is_left_out(reader, block, keys) else word("format", kind.formats)
    values = word("values", kind.values)
    target: str | None = kind.targets[0]
    if "target" in keys:
        target = _target(reader, keys["target"].value, folder, kind)
    batch: Batch | None = Batch((1,))
    if "batch" in keys:
        batch = read_batch(reader, keys["batch"].value)
    if not (path and ticket and form and values and target and batch):
        return None
    emit = Emit(block.name, path, ticket, form, values, target, batch.sizes, block.span)
    emit = replace(emit, fixed=batch.fixed)
    if "swap" in keys:
        emit = replace(emit, swaps=_swaps(reader, keys, emit, names))
    emit = read_activations(reader, keys, emit, tickets, models, data)
    _useless_keys(reader, keys, emit, kind)
    if "model" in keys and emit.ticket in tickets:
        _check_model(reader, keys, tickets[emit.ticket], models, winner)
    if emit.ticket in tickets and emit.kind != "fx":
        _check_source(reader, keys, emit, models[tickets[emit.ticket].model])
    if emit.fixed:
        check_fixed(reader, keys, emit, models.get(getattr(tickets.get(emit.ticket), "model", "")))
    if emit.kind == "fx" and emit.ticket in tickets:
        _check_fx(reader, keys, emit, tickets, models)
    if emit.kind == "adapter" and emit.ticket in tickets:
        _check_adapter(reader, keys, tickets[emit.ticket], tickets)
    return emit


def _without_choices(
    reader: Reader, block: syntax.Block, keys: Mapping[str, syntax.Entry]
) -> dict[str, syntax.Entry]:
    """The keys of an artefact of one form only, after others have been reported."""
    said = {key: entry for key, entry in keys.items() if key not in ("ticket", "model")}
    for key, entry in said.items():
        reader.findings.error(
            "unused-key",
            f'"{key}" has no effect: emit {block.name} has one form',
            entry.key_span,
            help=f"remove {key}",
        )
    return {key: entry for key, entry in keys.items() if key not in said}


def _check_model(
    reader: Reader,
    keys: Mapping[str, syntax.Entry],
    ticket: Ticket,
    models: Mapping[str, Model],
    winner: Callable[[syntax.Value], str | None],
) -> None:
    """What is shipped is of the model that `emit` says, if it says one."""
    value = keys["model"].value
    if not isinstance(value, syntax.Name):
        model = winner(value)
    elif value.value in models:
        model = value.value
    else:
        reader.unknown(value.value, models, "model", value.span)
        return
    if model is not None and model != ticket.model:
        said = "" if isinstance(value, syntax.Name) else f', which is "{model}"'
        message = f'ticket "{ticket.name}" is of "{ticket.model}", not of this model{said}'
        labels = (Label(value.span), Label(keys["ticket"].span, "this is shipped"))
        help = f"give the ticket  model = {value.span.text}"
        reader.findings.error("emit-model", message, *labels, help=help)


def _swaps(
    reader: Reader, keys: Mapping[str, syntax.Entry], emit: Emit, names: set[str]
) -> tuple[str, ...]:
    """The specialists of the core that is shipped: `swap = digits.specialists`."""
    value = keys["swap"].value
    match value:
        case syntax.Attribute(base=syntax.Name(value=split), name=name) if name == SPECIALISTS:
            pass
        case _:
            help = "for example  swap = digits.specialists"
            reader.mismatch(value, "the specialists of a split", help=help)
            return ()
    if core_name(split) not in names:
        splits = [name.partition(".")[0] for name in names if name.endswith(".core")]
        reader.unknown(split, splits, "split", value.base.span)
        return ()
    if emit.ticket != core_name(split):
        message = f'what is swapped goes into the core of "{split}", not into "{emit.ticket}"'
        labels = (Label(value.span), Label(keys["ticket"].span, "this is shipped"))
        help = f"write  ticket = {core_name(split)}"
        reader.findings.error("swap-core", message, *labels, help=help)
        return ()
    for key, given, known in (
        ("swap", emit.kind, ("onnx",)),
        ("format", emit.format, ("auto", "dense", "sparse", "packed")),
        ("values", emit.values, ("same",)),
    ):
        if given not in known:
            what = f"emit {given}" if key == "swap" else f"{key} = {given}"
            message = f"{what} has no weights that can be swapped"
            word = "emit" if key == "swap" else f"{key} ="
            help = f"leave swap out, or take  {word} {' | '.join(known)}"
            reader.findings.error("swap-unsuited", message, keys[key].span, help=help)
            return ()
    found: list[str] = []
    while (name := specialist_name(split, len(found) + 1)) in names:
        found.append(name)
    return tuple(found)


def _is_left_out(reader: Reader, block: syntax.Block, keys: Mapping[str, syntax.Entry]) -> bool:
    """Whether the format is one that was tried and not built."""
    value = reader.resolve(keys["format"].value) if "format" in keys else None
    if block.name != "onnx" or not isinstance(value, syntax.Name) or value.value not in LEFT_OUT:
        return False
    reason, help = LEFT_OUT[value.value]
    message = f'there is no format "{value.value}": {reason}'
    reader.findings.error("format-left-out", message, value.span, help=help)
    return True


def _useless_keys(reader: Reader, keys: Mapping[str, syntax.Entry], emit: Emit, kind: Kind) -> None:
    on_cpu = emit.kind == "fx" and emit.format == "auto" and emit.target == "torch-cpu"
    if emit.values != "same" and (emit.format not in kind.narrowing or on_cpu):
        shown = [Label(keys["format"].span)] if "format" in keys else []
        reader.findings.error(
            "unused-key",
            f"format = {emit.format} stores values in the type that the model has",
            keys["values"].span,
            *shown,
            help="leave values out, or choose  format = semi_structured",
        )


def _check_source(
    reader: Reader, keys: Mapping[str, syntax.Entry], emit: Emit, model: Model
) -> None:
    if model.source not in SOURCES_OF[emit.kind]:
        kinds = [kind for kind, sources in SOURCES_OF.items() if model.source in sources]
        reader.findings.error(
            "emit-source",
            f'emit {emit.kind} takes no model of {model.source}, such as "{model.name}"',
            keys["ticket"].span,
            Label(model.span),
            help=f"write  emit {' or emit '.join(kinds)}",
        )


def _check_fx(
    reader: Reader,
    keys: Mapping[str, syntax.Entry],
    emit: Emit,
    tickets: Mapping[str, Ticket],
    models: Mapping[str, Model],
) -> None:
    ticket = tickets[emit.ticket]
    model = models[ticket.model]
    if model.source not in SOURCES_OF["fx"]:
        reader.findings.error(
            "fx-needs-torch",
            f'"{emit.path}" needs a torch model, and "{model.name}" is of {model.source}',
            keys["ticket"].span,
            help=(
                'take the model from its source: torch("file.py:function")',
                f'or write it as ONNX:  emit onnx "{Path(emit.path).stem}.onnx"',
            ),
        )
    pattern = _found_pattern(ticket, tickets)
    if emit.format == "semi_structured" and pattern and not _is_two_of_four(pattern):
        reader.findings.error(
            "fx-pattern",
            f'format = semi_structured needs at most two of every four weights; "{ticket.name}" '
            f"has pattern {pattern}",
            keys["format"].span,
            Label(keys["ticket"].span, "this ticket"),
            help=("find it under  pattern = 2:4", "or choose another format"),
        )


def _check_adapter(
    reader: Reader, keys: Mapping[str, syntax.Entry], ticket: Ticket, tickets: Mapping[str, Ticket]
) -> None:
    """An adapter holds what a mask keeps, so nothing else may have changed."""
    if not adapting(ticket, tickets):
        message = f'"{ticket.name}" changes more than what its mask keeps'
        help = "find it with  method = lota, or write whole weights with  emit onnx"
    elif ticket.start is not None:
        message = f'"{ticket.name}" begins with weights that are not the model\'s'
        help = f"remove weights from the ticket {ticket.name}"
    else:
        return
    reader.findings.error("adapter-unsuited", message, keys["ticket"].span, help=help)


def _found_pattern(ticket: Ticket, tickets: Mapping[str, Ticket]) -> str:
    """The pattern that a ticket's masks were found under; nothing for masks that are given."""
    seen: set[str] = set()
    while isinstance(ticket.mask, MaskOf) and ticket.name not in seen:
        seen.add(ticket.name)
        if ticket.mask.ticket not in tickets:
            return ""
        ticket = tickets[ticket.mask.ticket]
    return str(ticket.found.pattern) if ticket.found else ""


def _is_two_of_four(pattern: str) -> bool:
    """Whether a pattern keeps no more than two of each aligned four neighbours."""
    match = re.fullmatch(r"(\d+):(\d+)", pattern)
    if not match:
        return False
    kept, group = int(match[1]), int(match[2])
    for start in range(0, math.lcm(group, 4), 4):
        most, at = 0, start
        while at < start + 4:
            end = min(start + 4, (at // group + 1) * group)
            most += min(kept, end - at)
            at = end
        if most > 2:
            return False
    return True


def _target(reader: Reader, value: syntax.Value, folder: Path, kind: Kind) -> str | None:
    """The name of a shipped target, or the path of one that somebody measured."""
    value = reader.resolve(value)
    if not (
        kind.target_files and isinstance(value, syntax.String) and value.value.endswith(".toml")
    ):
        return reader.choice(value, kind.targets, "target")
    from lottoc.backends.onnx.target import find_target, read_target

    path = find_target(value.value, folder)
    try:
        read_target(path)
    except InputError as error:
        for found in error.diagnostics:
            reader.findings.error(found.code, found.message, value.span, help=found.help)
        return None
    return str(path)


def _artefact_path(reader: Reader, block: syntax.Block, kind: Kind) -> str | None:
    if block.path is None or not block.path.value:
        reader.findings.error(
            "missing-path",
            "emit needs a file name",
            block.name_span,
            help=f'write  emit {block.name} "model{kind.suffix}" {{ … }}',
        )
        return None
    if not inside_output(block.path.value):
        reader.findings.error(
            "bad-path",
            f'"{block.path.value}" is not a file inside the output folder',
            block.path.span,
            help="name a file; the folder is chosen by  lottoc compile -o FOLDER",
        )
        return None
    path = Path(block.path.value)
    if path.suffix != kind.suffix and path.suffix in {other.suffix for other in KINDS.values()} - {
        ""
    }:
        reader.findings.error(
            "bad-path",
            f'"{block.path.value}" has the ending of another kind of artefact than {block.name}',
            block.path.span,
            help=f'name it  "{path.with_suffix(kind.suffix).as_posix()}"',
        )
        return None
    return path.as_posix()
