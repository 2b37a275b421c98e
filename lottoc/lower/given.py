"""What a recipe is given, in recipe IR: models, data sets, the weights to start from, trainings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from xdsl.dialects.builtin import (
    ArrayAttr,
    IntegerAttr,
    StringAttr,
    UnitAttr,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue

from lottoc.diagnostics import Diagnostic, Label, RecipeError, Span
from lottoc.ir import lotto
from lottoc.ir.place import at as place
from lottoc.ir.place import labels
from lottoc.ir.plain import Plain, string_array, to_dictionary
from lottoc.ir.types import (
    DataType,
    LayerAttr,
    ModelType,
    PlacesType,
    WeightsType,
    WiringType,
)
from lottoc.lower.flops import example_of
from lottoc.lower.program import (
    SOURCES,
    Data,
    Model,
    Program,
    Start,
    Ticket,
    Training,
)
from lottoc.methods.lab import Duration
from lottoc.signature import Layer


class DataCatalog(Protocol):
    """What lowering asks about data sets, without loading them."""

    def digest(self, data: Data) -> str:
        """Digest of all files of a data set; raises `InputError`."""

    def examples(self, data: Data, split: str) -> int:
        """Number of examples of a split, from the file's header; raises `InputError`."""

    def reads(self, model: Model, data: Data | None) -> dict[str, int]:
        """By layer the number of the channels it reads; raises `InputError`."""


def derived_seed(*parts: str | int) -> int:
    """A seed of its own for each purpose, so that no two random streams are the same."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


@dataclass
class Given:
    """The operations so far, and what names of models and data sets stand for."""

    program: Program
    catalog: DataCatalog
    ops: list[Operation] = field(default_factory=list)
    models: dict[str, SSAValue] = field(default_factory=dict)
    data: dict[str, SSAValue] = field(default_factory=dict)

    @contextmanager
    def at(self, span: Span) -> Iterator[None]:
        """What is added meanwhile, and has no place of its own, stands at `span`."""
        before = len(self.ops)
        yield
        for op in self.ops[before:]:
            if not labels(op):
                op.location = place(span)

    def add(self, op: Operation) -> SSAValue:
        """Append an operation; gives its first result."""
        self.ops.append(op)
        return op.results[0]

    def evaluated(self, ticket: Ticket) -> tuple[str, ...]:
        """The metrics that are looked up on data for a model of this source."""
        return SOURCES[self.program.models[ticket.model].source]

    def model(self, name: str) -> SSAValue:
        """The model's value; made once."""
        if name not in self.models:
            model = self.program.models[name]
            assert model.signature is not None
            properties = {
                "model": StringAttr(name),
                "source": StringAttr(model.source),
                "path": StringAttr(str(model.path)),
                "digest": StringAttr(model.digest),
                "layers": ArrayAttr([LayerAttr.of(layer) for layer in self._layers(model)]),
            }
            if model.function:
                properties["function"] = StringAttr(model.function)
            op = lotto.ModelOp.build(properties=properties, result_types=[ModelType(name)])
            self.models[name] = self.add(op)
        return self.models[name]

    def _layers(self, model: Model) -> list[Layer]:
        """The prunable layers; if a ticket puts channels in order, with what they read."""
        assert model.signature is not None
        tickets = [t for t in self.program.tickets.values() if t.model == model.name]
        ordered = [t for t in tickets if t.found and t.found.pattern.in_order is not None]
        if not ordered:
            return list(model.signature)
        data = None
        if model.source == "torch":
            named = [t.data for t in ordered if t.data is not None]
            if not named:
                raise _unknown_channels(model, ordered[0])
            data = self.program.data[named[0]]
        reads = self.catalog.reads(model, data)
        return [replace(layer, reads=reads.get(layer.name)) for layer in model.signature]

    def dataset(self, name: str) -> SSAValue:
        """The data set's value; made once."""
        if name not in self.data:
            data = self.program.data[name]
            if data.part is not None:
                part = lotto.PartOp.build(
                    operands=[self.dataset(data.whole)],
                    properties={"examples": to_dictionary(data.part.plain())},
                    result_types=[DataType()],
                )
                self.data[name] = self.add(part)
                return self.data[name]
            splits: dict[str, Plain] = {
                split: found.plain() for split, found in data.splits.items()
            }
            op = lotto.DataOp.build(
                properties={
                    "data": StringAttr(name),
                    "splits": to_dictionary(splits),
                    "digest": StringAttr(self.catalog.digest(data)),
                },
                result_types=[DataType()],
            )
            self.data[name] = self.add(op)
        return self.data[name]

    def whole(self, data: str) -> str:
        """The data set that another is a part of, or itself."""
        return self.program.data[data].whole or data

    def initial(self, ticket: Ticket, start: Start | None = None) -> SSAValue:
        """θ_0: the model's own start, a fresh draw, or the signs of the start alone."""
        model = self.program.models[ticket.model]
        seed = model.seed
        if start is not None and start.kind == "reinit":
            seed = derived_seed("reinit", model.seed, start.seed)
        weights = self.add(
            lotto.InitOp.build(
                operands=[self.model(ticket.model)],
                properties={"seed": integer(seed)},
                result_types=[WeightsType(ticket.model)],
            )
        )
        if start is None or start.kind == "reinit":
            return weights
        assert model.signature is not None
        properties: dict[str, Attribute] = {
            "layers": string_array([layer.name for layer in model.signature])
        }
        if start.kind == "signed_constant":
            properties["by_fan_in"] = UnitAttr()
        return self.add(
            lotto.SignsOp.build(
                operands=[weights],
                properties=properties,
                result_types=[WeightsType(ticket.model)],
            )
        )

    def training(self, ticket: Ticket) -> dict[str, Any]:
        """The training's specification in steps, as `lottoc.training.spec` reads it."""
        assert ticket.training is not None
        training = self.program.trainings[ticket.training]
        options = dict(training.options)
        options["steps"] = self.steps(training.length, ticket)
        if training.milestones:
            options["milestones"] = [self.steps(m, ticket) for m in training.milestones]
        if training.warmup.amount:
            options["warmup"] = self.steps(training.warmup, ticket)
        return options

    def total(self, ticket: Ticket) -> int:
        """T, in steps; 0 without a training."""
        if ticket.training is None:
            return 0
        return self.steps(self.program.trainings[ticket.training].length, ticket)

    def steps(self, duration: Duration, ticket: Ticket) -> int:
        """A duration in steps; epochs ask the data set for its size."""
        if duration.unit == "steps":
            return duration.amount
        assert ticket.training is not None
        assert ticket.data is not None
        training: Training = self.program.trainings[ticket.training]
        examples = self.catalog.examples(self.program.data[ticket.data], "train")
        return duration.amount * -(-examples // int(training.options["batch"]))

    def can_be_wired(self, ticket: Ticket) -> bool:
        """A torch model is exported for that, with examples of its data."""
        source = self.program.models[ticket.model].source
        return source == "onnx" or (source == "torch" and ticket.data is not None)

    def wiring(self, ticket: Ticket) -> SSAValue:
        """The graph of the ticket's model; equal ones become one later."""
        if not self.can_be_wired(ticket):
            message = f'"{ticket.model}" cannot be exported: the shape of the input is not known'
            help = ("add a data block; its first example gives the input's shape",)
            labels = (Label(ticket.span, "asks what its masks cut off"),)
            raise RecipeError([Diagnostic("export-needs-data", message, labels, help)])
        onnx = self.program.models[ticket.model].source == "onnx"
        data = None if onnx or ticket.data is None else self.dataset(self.whole(ticket.data))
        return self.add(
            lotto.WiringOp.build(
                operands=[self.model(ticket.model), data],
                result_types=[WiringType(ticket.model)],
            )
        )

    def places(self, ticket: Ticket) -> SSAValue:
        """Where an example uses the weights of the ticket's model; equal ones become one later."""
        example = example_of(ticket, self.program.data)
        properties = {} if example is None else {"split": StringAttr(example[1])}
        op = lotto.PlacesOp.build(
            operands=[
                self.model(ticket.model),
                None if example is None else self.dataset(example[0]),
            ],
            properties=properties,
            result_types=[PlacesType(ticket.model)],
        )
        return self.add(op)


def _unknown_channels(model: Model, ticket: Ticket) -> RecipeError:
    message = f'"{model.name}" cannot be exported to see which layers read the same channels: '
    message += "the shape of the input is not known"
    help = ("add a data block; its first example gives the input's shape",)
    return RecipeError([Diagnostic("export-needs-data", message, (Label(ticket.span),), help)])


def integer(value: int) -> IntegerAttr:
    """A number in IR: int64."""
    return IntegerAttr(value, i64)
