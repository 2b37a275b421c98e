"""Checking the `criterion` of a ticket: what it is, and whether the ticket has what it looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lottoc import criteria
from lottoc.diagnostics import Label
from lottoc.grammar import syntax
from lottoc.lower.program import Criterion, Model
from lottoc.lower.read import Reader
from lottoc.signature import Layer


def read_criterion(
    reader: Reader, keys: Mapping[str, syntax.Entry], inherited: Criterion
) -> Criterion | None:
    """The criterion and the options it is given; what is inherited if the ticket names none."""
    if "criterion" not in keys:
        return inherited
    value = keys["criterion"].value
    head = reader.head(value, "a criterion such as magnitude")
    if head is None:
        return None
    name, arguments = head
    known = (*criteria.CRITERIA, *criteria.SOLVERS)
    if name not in known:
        reader.unknown(name, known, "criterion", value.span)
        return None
    shape = criteria.options_class(name)
    options = reader.options(arguments, shape, name)
    if options is None:
        return None
    try:
        shape(**options)
    except ValueError as error:
        reader.findings.error("out-of-range", f"{name}: {error}", value.span)
        return None
    return Criterion(name, options)


def check_needs(
    reader: Reader,
    block: syntax.Block,
    criterion: Criterion,
    model: Model,
    data: str | None,
    layers: tuple[Layer, ...],
) -> None:
    """Refuse a criterion that looks at more than the ticket has."""
    needs, name = criteria.needs(criterion.name), criterion.name
    keys = {entry.key: entry for entry in block.entries}
    place = keys["criterion"].value.span if "criterion" in keys else block.name_span
    if model.source != "torch" and needs and needs & {"gradients", "labels"}:
        reader.findings.error(
            "needs-torch",
            f"{name} differentiates the network, which only a torch model can",
            Label(place),
            Label(model.span, f"of {model.source}"),
            help='take the model from its source: torch("file.py:function")',
        )
    elif "activations" in needs and (unseen := _unseen(model, layers)):
        layer, what, help = unseen
        reader.findings.error(
            "needs-linear",
            f'{name} looks at the inputs of linear layers, and "{layer.name}" is {what}',
            Label(keys["layers"].value.span if "layers" in keys else place),
            help=help,
        )
    elif "inputs" in needs and data is None:
        reader.findings.error(
            "needs-data",
            f'{name} looks at examples, and ticket "{block.name}" has no data',
            place,
            help='add  data NAME { train = npz("data.npz", x = "x", y = "y") }',
        )


def _unseen(model: Model, layers: Sequence[Layer]) -> tuple[Layer, str, str] | None:
    """The first layer whose inputs cannot be looked at: what it is, and the way out."""
    for layer in layers:
        if layer.kind == "recurrent":
            return layer, "inside of a recurrent one", "write  layers = … - recurrent"
        if layer.kind == "conv" and model.source != "torch":
            return layer, "a convolution", "write  layers = linear, or take the model from torch"
    return None
