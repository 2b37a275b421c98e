"""Lowering a checked recipe to recipe IR: one operation for what each line of the recipe says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    FloatAttr,
    ModuleOp,
    StringAttr,
    f64,
)
from xdsl.ir import SSAValue

from lottoc.diagnostics import Findings, InputError
from lottoc.ir import lotto
from lottoc.ir.plain import Plain, string_array, to_dictionary
from lottoc.ir.types import WeightsType
from lottoc.lower import contracts
from lottoc.lower.given import DataCatalog, integer
from lottoc.lower.program import (
    Arithmetic,
    Constant,
    Metric,
    Model,
    Number,
    Program,
    Rank,
    Requirement,
    Sanity,
    Search,
    Ticket,
    adapts,
)
from lottoc.lower.sanity import control_name
from lottoc.lower.stable_steps import add_stability
from lottoc.lower.values import Lowering

_ARITHMETIC: Mapping[str, type[Any]] = {
    "+": arith.AddfOp,
    "-": arith.SubfOp,
    "*": arith.MulfOp,
    "/": arith.DivfOp,
}


def lower(
    program: Program, catalog: DataCatalog, found_steps: Mapping[str, int] | None = None
) -> ModuleOp:
    """Recipe IR for a program whose models' signatures are all known.

    `found_steps` holds what the `stability` blocks have found that tickets rewind to. Raises
    `InputError` for missing data and `RecipeError` for lengths that do not fit together.
    """
    lowering = _Recipe(program, catalog, found_steps=found_steps or {})
    lowering.run()
    return ModuleOp(lowering.ops)


def lower_stability(program: Program, catalog: DataCatalog, names: Iterable[str]) -> ModuleOp:
    """Recipe IR for some `stability` blocks alone, which come before everything else."""
    lowering = _Recipe(program, catalog)
    lowering.run_stability(names)
    return ModuleOp(lowering.ops)


class _Recipe(Lowering):
    """What a recipe asks for, in its order: reports, tables, requirements, artefacts."""

    def run(self) -> None:
        self._load_data_headers()
        for name, ticket in self.program.tickets.items():
            if name != "dense" or self._shown(ticket) or self._named("dense"):
                self._report(name)
        self._stabilities(self.program.stabilities)
        for sanity in self.program.sanities:
            with self.at(sanity.span):
                self._sanity(sanity)
        for rank in self.program.ranks:
            with self.at(rank.span):
                self._rank(rank)
        for search in self.program.searches:
            with self.at(search.span):
                self._search(search)
        for requirement in self.program.requirements:
            with self.at(requirement.span):
                self._require(requirement)
        for name, ticket in self.program.tickets.items():
            with self.at(ticket.span):
                self._check_signal(name)
        for emit in self.program.emits:
            with self.at(emit.span):
                self._emit(emit)

    def run_stability(self, names: Iterable[str]) -> None:
        """Some `stability` blocks, and no ticket."""
        self._load_data_headers()
        self._stabilities(names)

    def _stabilities(self, names: Iterable[str]) -> None:
        for name in names:
            stability = self.program.stabilities[name]
            with self.at(stability.span):
                add_stability(self, stability)

    def _load_data_headers(self) -> None:
        """Report every missing data file at once, before any work."""
        findings = Findings()
        for data in self.program.data.values():
            if data.part is not None:
                continue  # of the same files
            try:
                self.catalog.digest(data)
            except InputError as error:
                findings.absorb(error, data.span)
        findings.raise_errors()

    def _shown(self, ticket: Ticket) -> bool:
        has_test = ticket.data is not None and "test" in self.program.data[ticket.data].splits
        return has_test and bool(self.evaluated(ticket))

    def _named(self, name: str) -> bool:
        required = any(metric.ticket == name for metric in self._required())
        return required or any(name in (e.ticket, *e.swaps) for e in self.program.emits)

    def _required(self) -> set[Metric]:
        """What contracts ask of tickets."""
        sides = [side for r in self.program.requirements for side in (r.left, r.right)]
        return {metric for side in sides for metric in contracts.metrics(side)}

    def _check_signal(self, name: str) -> None:
        """Tickets that are shipped are looked at, and those that say what to do."""
        ticket, values = self.program.tickets[name], self.ticket(name)
        shipped = any(name in (emit.ticket, *emit.swaps) for emit in self.program.emits)
        if values.masks is None or ticket.on_collapse == "ignore" or adapts(self.program, ticket):
            return
        if not ticket.on_collapse and not (shipped and self.can_be_wired(ticket)):
            return
        properties = {"ticket": StringAttr(name)}
        if ticket.on_collapse:
            properties["on_collapse"] = StringAttr(ticket.on_collapse)
        op = lotto.CheckSignalOp.build(
            operands=[values.masks, self.wiring(ticket)], properties=properties
        )
        self.ops.append(op)

    def _report(self, name: str) -> None:
        ticket, values = self.program.tickets[name], self.ticket(name)
        names = ["sparsity", *(self.evaluated(ticket) if self._shown(ticket) else ())]
        required = self._required()
        names += [metric for metric in ("params", "flops") if Metric(name, metric) in required]
        metrics = [self.metric(Metric(name, metric)) for metric in names]
        self.ops.append(
            lotto.TicketOp.build(
                operands=[values.final, values.masks, metrics],
                properties={"ticket": StringAttr(name), "metrics": string_array(names)},
            )
        )

    def _sanity(self, sanity: Sanity) -> None:
        for ticket in sanity.tickets:
            for control in sanity.controls:
                twin = control_name(sanity.name, control, ticket)
                numbers = [self.metric(Metric(name, "accuracy")) for name in (ticket, twin)]
                self.ops.append(
                    lotto.ControlOp.build(
                        operands=numbers,
                        properties={
                            "block": StringAttr(sanity.name),
                            "control": StringAttr(control),
                            "ticket": StringAttr(ticket),
                            "metric": StringAttr("accuracy"),
                        },
                    )
                )

    def _rank(self, rank: Rank) -> None:
        values = [self._proxies(rank, self.program.models[name]) for name in rank.models]
        self.ops.append(
            lotto.RankOp.build(
                operands=[[value for row in values for value in row]],
                properties={
                    "block": StringAttr(rank.name),
                    "models": string_array(rank.models),
                    "proxies": string_array(list(rank.proxies)),
                },
            )
        )

    def _search(self, search: Search) -> None:
        """What was trained for it, in the order of their accuracies."""
        accuracies = []
        for model in search.tried:
            ticket = Ticket(model.name, model.name, search.data, search.training, search.span)
            values = self.given(ticket)
            accuracies.append(self.add(self.evaluation(ticket, values, "accuracy")))
        self.ops.append(
            lotto.RankOp.build(
                operands=[accuracies],
                properties={
                    "block": StringAttr(search.name),
                    "models": string_array([model.name for model in search.tried]),
                    "proxies": string_array(["accuracy"]),
                },
            )
        )

    def _proxies(self, rank: Rank, model: Model) -> list[SSAValue]:
        assert model.signature is not None
        weights = self.add(
            lotto.InitOp.build(
                operands=[self.model(model.name)],
                properties={"seed": integer(model.seed)},
                result_types=[WeightsType(model.name)],
            )
        )
        return [
            self.add(
                lotto.ProxyOp.build(
                    operands=[weights, self.dataset(rank.data)],
                    properties={
                        "proxy": StringAttr(name),
                        "options": to_dictionary(options),
                        "layers": string_array([layer.name for layer in model.signature]),
                        "split": StringAttr("train"),
                    },
                    result_types=[f64],
                )
            )
            for name, options in rank.proxies.items()
        ]

    def _require(self, requirement: Requirement) -> None:
        text = " ".join(requirement.span.text.split())
        self.ops.append(
            lotto.RequireOp.build(
                operands=[self.number(requirement.left), self.number(requirement.right)],
                properties={
                    "predicate": StringAttr(requirement.operator),
                    "text": StringAttr(text),
                },
            )
        )

    def _emit(self, emit: Any) -> None:
        ticket, values = self.program.tickets[emit.ticket], self.ticket(emit.ticket)
        sampled = emit.data or self._sampled(ticket)
        data = self.dataset(sampled) if sampled is not None else None
        options: dict[str, Plain] = {
            "format": emit.format,
            "values": emit.values,
            "target": emit.target,
            "batch": emit.batch,
            **({"fixed": True} if emit.fixed else {}),
        }
        if emit.activations != "same":
            splits = self.program.data[emit.data].splits
            split = "calibration" if "calibration" in splits else "train"
            options |= {"activations": emit.activations, "samples": emit.samples, "split": split}
        alone = emit.kind == "adapter"
        masks = None if adapts(self.program, ticket) and not alone else values.masks
        self.ops.append(
            lotto.EmitOp.build(
                operands=[values.final, masks, data, [], values.start if alone else None],
                properties={
                    "kind": StringAttr(emit.kind),
                    "path": StringAttr(emit.path),
                    "ticket": StringAttr(emit.ticket),
                    "options": to_dictionary(options),
                },
            )
        )

        for number, name in enumerate(emit.swaps, start=1):
            other = self.ticket(name)
            self.ops.append(
                lotto.SwapOp.build(
                    operands=[other.final, other.masks, data],
                    properties={
                        "number": integer(number),
                        "path": StringAttr(emit.path),
                        "ticket": StringAttr(name),
                    },
                )
            )

    def _sampled(self, ticket: Ticket) -> str | None:
        """The data set whose examples give the shape of a ticket's input: its own, or the only."""
        if ticket.data is not None or self.program.models[ticket.model].source != "torch":
            return ticket.data
        whole = [data.name for data in self.program.data.values() if data.part is None]
        return whole[0] if len(whole) == 1 else None

    def number(self, number: Number) -> SSAValue:
        """A number of a `require`."""
        match number:
            case Constant(value=value):
                return self.add(arith.ConstantOp(FloatAttr(value, f64)))
            case Metric():
                return self.metric(number)
            case Arithmetic(operator=sign, left=left, right=right):
                lhs, rhs = self.number(left), self.number(right)
                return self.add(_ARITHMETIC[sign](lhs, rhs))
