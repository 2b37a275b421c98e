"""What an editor shows of a thing that has a name: what it comes to, and where it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from lottoc.diagnostics import LottoError
from lottoc.grammar import syntax
from lottoc.grammar.unparse import unparse
from lottoc.lower.program import Data, Model, Selection, Ticket, Training
from lottoc.lsp.analysis import Analysis
from lottoc.lsp.manual import manual
from lottoc.lsp.names import Definition, Use
from lottoc.lsp.tally import Row, Tally, tally
from lottoc.lsp.vocabulary import written
from lottoc.signature import Layer

_MOST_LAYERS = 20


def describe(analysis: Analysis, definition: Definition) -> str:
    """A named thing, in Markdown."""
    name, program = definition.name, analysis.program
    lines: Iterable[str] = ()
    match definition.kind:
        case "param":
            lines = _param(definition)
        case "ticket" if name in program.tickets:
            lines = _ticket(program.tickets[name], tally(program, name))
        case "model" if name in program.models:
            lines = _model(program.models[name])
        case "data" if name in program.data:
            lines = _data(program.data[name])
        case "training" if name in program.trainings:
            lines = _training(program.trainings[name])
        case "mask" if isinstance(definition.item, syntax.MaskDefinition):
            lines = [f"`{_source(definition.item.value)}`"]
    title = f"**{definition.kind} {name}**: {manual().items.get(definition.kind, '')}"
    return "\n\n".join([title, *lines, _used(analysis, name)])


def percent(share: Fraction | float) -> str:
    """A share as people read it: at most four digits."""
    return f"{float(share) * 100:.4g} %"


def layer_table(layers: Iterable[Layer]) -> str:
    """Names, shapes and counts of layers."""
    return _table([Row(layer.name, layer.shape, None) for layer in layers])


def _table(rows: list[Row]) -> str:
    size = sum(row.size for row in rows)
    counted = any(row.kept is not None for row in rows)
    noun = "layer" if len(rows) == 1 else "layers"
    head = f"{len(rows)} {noun}, {size:,} weights"
    lines = ["| layer | shape | weights |", "|---|---|--:|"]
    if counted:
        lines = ["| layer | shape | weights | kept |", "|---|---|--:|--:|"]
    for row in rows[:_MOST_LAYERS]:
        shape = " × ".join(map(str, row.shape))
        kept = f" {row.kept:,} |" if row.kept is not None else ""
        lines.append(f"| {row.layer} | {shape} | {row.size:,} |{kept}")
    more = len(rows) - _MOST_LAYERS
    tail = f"\n\nand {more} more" if more > 0 else ""
    return f"{head}\n\n" + "\n".join(lines) + tail


def _param(definition: Definition) -> Iterator[str]:
    assert isinstance(definition.item, syntax.Param)
    value = definition.item.value
    yield f"`{definition.name} = {_source(value)}`"
    if isinstance(value, syntax.Percent):
        yield f"as a number: {float(value.value):g}"


def _ticket(ticket: Ticket, counts: Tally | None) -> Iterator[str]:
    parts = [f"model `{ticket.model}`"]
    parts += [f"data `{ticket.data}`"] if ticket.data else []
    parts += [f"training `{ticket.training}`"] if ticket.training else []
    yield ", ".join(parts)
    if ticket.found:
        yield _found(ticket.found)
    else:
        yield f"its mask is given; weights: {ticket.start.kind}" if ticket.start else "given mask"
    if counts is None:
        return
    if counts.kept is not None:
        share = percent(1 - Fraction(counts.kept, counts.size))
        yield f"keeps {counts.kept:,} of {counts.size:,} selected weights: sparsity {share}"
    yield _table(list(counts.rows))


def _found(selection: Selection) -> str:
    return (
        f"pattern {selection.pattern}, criterion {selection.criterion.name}, "
        f"scope {selection.scope}, method {selection.method_name}, "
        f"sparsity {percent(1 - selection.density)}"
    )


def _model(model: Model) -> Iterator[str]:
    function = f":{model.function}" if model.function else ""
    yield f'`{model.source}("{model.path.name}{function}")`'
    if model.signature is None:
        yield "its layers are not known yet: `lottoc check --load-models` learns them"
    else:
        yield layer_table(model.signature)


def _data(data: Data) -> Iterator[str]:
    from lottoc.frontends.data import NpzSource, npz_shape
    from lottoc.lower.splits import NpzSplit

    for name, split in sorted(data.splits.items()):
        if not isinstance(split, NpzSplit):
            yield f"{name}: `{split.path.name}`"
            continue
        try:
            shape, _ = npz_shape(NpzSource(split.path, split.x, split.y))
        except LottoError as error:
            yield f"{name}: {error.diagnostics[0].message}"
        else:
            yield f"{name}: {shape[0]:,} examples of shape [{', '.join(map(str, shape[1:]))}]"


def _training(training: Training) -> Iterator[str]:
    options = sorted(training.options.items())
    given = ", ".join(f"{k} {written(v)}" for k, v in options if v is not None)
    yield f"T = {training.length}; {given}"


def _used(analysis: Analysis, name: str) -> str:
    uses = analysis.names.of(name)
    if not uses:
        return "used nowhere"
    lines = [f"- line {_line(analysis, use)}: {_where(use)}" for use in uses[:_MOST_LAYERS]]
    return "used by\n" + "\n".join(lines)


def _line(analysis: Analysis, use: Use) -> int:
    return analysis.source.position(use.span.start)[0]


def _where(use: Use) -> str:
    item = use.item
    if isinstance(item, syntax.Block) and use.entry:
        path = f' "{item.path.value}"' if item.path else ""
        return f"{use.entry.key} of {item.kind} {item.name}{path}"
    if isinstance(item, syntax.MaskDefinition):
        return f"mask {item.name}"
    return f"`{' '.join(item.span.text.split())}`"


def _source(value: syntax.Value) -> str:
    """The value on one line, without comments."""
    return unparse(value)
