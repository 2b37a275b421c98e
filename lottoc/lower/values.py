"""What the names of tickets, masks and metrics are in recipe IR."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    FloatAttr,
    StringAttr,
    UnitAttr,
    f64,
)
from xdsl.ir import Attribute, Operation, SSAValue

from lottoc import criteria
from lottoc.diagnostics import Diagnostic, Label, RecipeError
from lottoc.ir import lotto
from lottoc.ir.plain import string_array, to_dictionary
from lottoc.ir.types import MasksType, WeightsType
from lottoc.lower.given import Given, derived_seed, integer
from lottoc.lower.program import (
    MaskBinary,
    MaskExpression,
    MaskNot,
    MaskOf,
    MaskShuffle,
    MaskSplit,
    Metric,
    Selection,
    Ticket,
    adapts,
    trains_weights,
)
from lottoc.methods.lab import Duration, FoundStep, TicketName


@dataclass(frozen=True)
class Values:
    """What a ticket is in IR: masks (none for `dense`), its start, its end, its first step."""

    masks: SSAValue | None
    start: SSAValue
    final: SSAValue
    first: int


@dataclass
class Lowering(Given):
    """What names of tickets, masks and metrics stand for, beside all that is given."""

    tickets: dict[str, Values] = field(default_factory=dict)
    metrics: dict[Metric, SSAValue] = field(default_factory=dict)
    splits: dict[str, tuple[SSAValue, ...]] = field(default_factory=dict)
    """The core of a split block and its specialists."""
    found_steps: Mapping[str, int] = field(default_factory=dict)
    """What `stability` blocks have found."""

    def ticket(self, name: str) -> Values:
        """A ticket's values; made once."""
        if name not in self.tickets:
            ticket = self.program.tickets[name]
            with self.at(ticket.span):
                if ticket.found is not None:
                    self.tickets[name] = self._find(ticket, ticket.found)
                else:
                    self.tickets[name] = self.given(ticket)
        return self.tickets[name]

    def _find(self, ticket: Ticket, found: Selection) -> Values:
        options, first = self._method_options(ticket, found)
        wiring = self.wiring(ticket) if ticket.on_collapse == "keep_best" else None
        target = getattr(found.method, "target", None)
        toward = None if target is None else self.ticket(target).final
        start, taken = self._begin(ticket)
        operands: list[Any] = [start, None, wiring, toward, taken]
        properties: dict[str, Attribute] = {
            "ticket": StringAttr(ticket.name),
            "method": StringAttr(found.method_name),
            "options": to_dictionary(options),
            "layers": string_array([layer.name for layer in found.layers]),
            "criterion": StringAttr(found.criterion.name),
            "criterion_options": to_dictionary(found.criterion.options),
            "scope": StringAttr(found.scope),
            "density": StringAttr(str(found.density)),
            "pattern": StringAttr(str(found.pattern)),
        }
        if found.inverted:
            properties["inverted"] = UnitAttr()
        if target is not None:
            signature = self.program.models[self.program.tickets[target].model].signature
            assert signature is not None
            properties["target"] = string_array([layer.name for layer in signature])
        if ticket.data is not None and (ticket.training or criteria.needs(found.criterion.name)):
            operands[1] = self.dataset(ticket.data)
        if ticket.data is not None and ticket.training is not None:
            properties["training"] = to_dictionary(self.training(ticket))
        weights = WeightsType(ticket.model)
        op: Any = lotto.FindOp.build(
            operands=operands,
            properties=properties,
            result_types=[MasksType(ticket.model), weights, weights],
        )
        self.add(op)
        return Values(op.masks, op.start, op.final, first)

    def _begin(self, ticket: Ticket) -> tuple[SSAValue, SSAValue | None]:
        """θ_0 with what a ticket excludes applied, and the masks of that."""
        weights = self.initial(ticket, ticket.start)
        taken: SSAValue | None = None
        for name in ticket.exclude:
            other = self.ticket(name)
            assert other.masks is not None
            weights = self.add(
                lotto.GraftOp.build(
                    operands=[weights, other.final, other.masks], result_types=[weights.type]
                )
            )
            taken = other.masks if taken is None else self.add(lotto.OrOp(taken, other.masks))
        return weights, taken

    def _method_options(self, ticket: Ticket, found: Selection) -> tuple[dict[str, Any], int]:
        options: dict[str, Any] = {}
        for option in dataclasses.fields(found.method):  # type: ignore[arg-type]
            value = getattr(found.method, option.name)
            if value is None or isinstance(value, TicketName):
                continue
            if isinstance(value, FoundStep):
                value = Duration(self.found_steps[value.block], "steps")
            options[option.name] = (
                self.steps(value, ticket) if isinstance(value, Duration) else value
            )
        first = int(options.get("rewind", 0))
        if ticket.training is not None and first >= self.total(ticket):
            raise _rewinds_past_end(ticket, first, self.total(ticket))
        return options, first

    def given(self, ticket: Ticket) -> Values:
        """A ticket whose mask is given, or that has none: only to be trained."""
        if ticket.onto:
            return self._grown(ticket)
        masks = self.mask(ticket.mask, ticket.model) if ticket.mask is not None else None
        first = 0
        if ticket.start is None and ticket.like is not None:
            like = self.ticket(ticket.like)
            start, first = like.start, like.first
        else:
            start = self.initial(ticket, ticket.start)
        return Values(masks, start, self._train(ticket, start, masks, first), first)

    def _grown(self, ticket: Ticket) -> Values:
        """Another ticket as it was trained, with more weights, which alone are trained."""
        assert ticket.mask is not None
        assert ticket.grown is not None
        assert ticket.like is not None
        trained, like = self.ticket(ticket.onto), self.ticket(ticket.like)
        masks, more = self.mask(ticket.mask, ticket.model), self.mask(ticket.grown, ticket.model)
        start = self.add(
            lotto.GraftOp.build(
                operands=[trained.final, like.start, more],
                result_types=[WeightsType(ticket.model)],
            )
        )
        return Values(masks, start, self._train(ticket, start, more, like.first), like.first)

    def split(self, name: str) -> tuple[SSAValue, ...]:
        """The core of a split block and its specialists; made once."""
        if name not in self.splits:
            split = next(split for split in self.program.splits if split.name == name)
            masks = self.ticket(split.ticket).masks
            assert masks is not None
            parts = [self.dataset(part) for part in split.parts]
            op = lotto.SplitOp.build(
                operands=[masks, parts],
                properties={"split": StringAttr(name)},
                result_types=[masks.type, [masks.type] * len(parts)],
            )
            self.add(op)
            self.splits[name] = (op.core, *op.specialists)
        return self.splits[name]

    def _train(
        self, ticket: Ticket, start: SSAValue, masks: SSAValue | None, first: int
    ) -> SSAValue:
        if (
            ticket.training is None
            or ticket.data is None
            or not trains_weights(self.program, ticket)
        ):
            return start
        frozen = adapts(self.program, ticket) or ticket.onto
        properties: dict[str, Attribute] = {"frozen": UnitAttr()} if frozen else {}
        op = lotto.TrainOp.build(
            operands=[start, self.dataset(ticket.data), masks],
            properties=properties
            | {
                "first": integer(first),
                "last": integer(self.total(ticket)),
                "optimizer": StringAttr(lotto.FRESH),
                "training": to_dictionary(self.training(ticket)),
            },
            result_types=[WeightsType(ticket.model)],
        )
        return self.add(op)

    def mask(self, expression: MaskExpression, model: str) -> SSAValue:
        """Masks of the whole network for a mask expression."""
        match expression:
            case MaskOf(ticket=name):
                masks = self.ticket(name).masks
                assert masks is not None
                return masks
            case MaskSplit(split=name, number=number):
                return self.split(name)[number]
            case MaskShuffle(of=of, seed=seed):
                return self.add(
                    lotto.ShuffleOp.build(
                        operands=[self.mask(of, model)],
                        properties={"seed": integer(derived_seed("shuffle", seed))},
                        result_types=[MasksType(model)],
                    )
                )
            case MaskNot(of=of):
                return self.add(
                    lotto.NotOp.build(
                        operands=[self.mask(of, model)], result_types=[MasksType(model)]
                    )
                )
            case MaskBinary(operator=sign, left=left, right=right):
                lhs, rhs = self.mask(left, model), self.mask(right, model)
                return self.add(lotto.BINARY[sign](lhs, rhs))

    def metric(self, metric: Metric) -> SSAValue:
        """A metric of a ticket; made once."""
        if metric not in self.metrics:
            self.metrics[metric] = self.add(self._metric_op(metric))
        return self.metrics[metric]

    def _metric_op(self, metric: Metric) -> Operation:
        ticket, values = self.program.tickets[metric.ticket], self.ticket(metric.ticket)
        if metric.name in lotto.EVALUATED:
            return self.evaluation(ticket, values, metric.name)
        if metric.name == "flops":
            masks = None if adapts(self.program, ticket) else values.masks
            return lotto.FlopsOp.build(operands=[self.places(ticket), masks], result_types=[f64])
        name = {"metric": StringAttr(metric.name)}
        if values.masks is None:
            dense = self.program.models[ticket.model].signature
            assert dense is not None
            kept = float(sum(layer.size for layer in dense)) if metric.name == "params" else 0.0
            return arith.ConstantOp(FloatAttr(kept, f64))
        wiring = None
        if metric.name == "collapsed" and self.can_be_wired(ticket):
            wiring = self.wiring(ticket)
        return lotto.MeasureOp.build(
            operands=[values.masks, wiring], properties=name, result_types=[f64]
        )

    def evaluation(self, ticket: Ticket, values: Values, metric: str) -> Operation:
        """A metric of a network on the test split of the ticket's data."""
        assert ticket.data is not None
        settings = self.training(ticket) if ticket.training is not None else {}
        used: dict[str, Any] = {k: settings[k] for k in ("loss", "threads") if k in settings}
        masks = None if adapts(self.program, ticket) else values.masks
        return lotto.EvaluateOp.build(
            operands=[values.final, self.dataset(ticket.data), masks],
            properties={
                "metric": StringAttr(metric),
                "split": StringAttr("test"),
                "training": to_dictionary(used),
            },
            result_types=[f64],
        )


def _rewinds_past_end(ticket: Ticket, first: int, total: int) -> RecipeError:
    message = f"rewinding to step {first} leaves nothing to train: the training has {total} steps"
    help = ("rewind to an early step, e.g. rewind = 0 steps",)
    return RecipeError([Diagnostic("rewind-past-end", message, (Label(ticket.span),), help)])
