"""What is legal in a recipe and hardly meant: what nobody uses, what says nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from lottoc.diagnostics import Findings, Label, source_order
from lottoc.grammar import syntax
from lottoc.lower.contracts import contract, metrics
from lottoc.lower.flops import example_of
from lottoc.lower.imports import nodes
from lottoc.lower.program import Program, tickets_of
from lottoc.masks.patterns.rows import Rows

AMOUNTS = ("sparsity", "density", "compression")
_SAID = {"data": "data set"}
_NAME_IT = "remove it, or name it in the ticket it is meant for"
_NOT_TRAINED = 'remove it, or take the model from its source: torch("file.py:function")'


def warn(
    items: Sequence[syntax.Item],
    program: Program,
    used_params: Collection[str],
    findings: Findings,
) -> None:
    """Look at a recipe without errors; what imported files hold may go unused."""
    found = Findings()
    _look(items, program, used_params, found)
    findings.diagnostics += source_order(found.diagnostics)


def _look(
    items: Sequence[syntax.Item],
    program: Program,
    used_params: Collection[str],
    findings: Findings,
) -> None:
    own = [item for item in items if item.span.source not in program.imports]
    _unused_params(own, used_params, findings)
    _unused_blocks(own, program, findings)
    _unused_masks(own, items, findings)
    _unused_tickets(items, program, findings)
    _redundant_amounts(own, program, findings)
    _pruned_outputs(own, program, findings)
    for requirement in program.requirements:
        contract(requirement, findings)


def _unused_params(
    own: Sequence[syntax.Item], used_params: Collection[str], findings: Findings
) -> None:
    for item in own:
        if isinstance(item, syntax.Param) and item.name not in used_params:
            findings.warning(
                "unused-param",
                f'param "{item.name}" is never used',
                item.name_span,
                help="write its name where its value is meant, or remove it",
            )


def _unused_blocks(own: Sequence[syntax.Item], program: Program, findings: Findings) -> None:
    tickets = program.tickets.values()
    used = {name for t in tickets for name in (t.model, t.data, t.training)}
    used |= {name for rank in program.ranks for name in (*rank.models, rank.data)}
    used |= {n for s in program.stabilities.values() for n in (s.model, s.data, s.training)}
    used |= {name for search in program.searches for name in (search.data, search.training)}
    used |= {emit.data for emit in program.emits}
    used |= {counted[0] for counted in _counted(program)}
    trainable = any(model.source == "torch" for model in program.models.values())
    for item in _blocks(own, "model", "data", "training"):
        if item.name not in used:
            findings.warning(
                "unused-block",
                f'no ticket uses the {_SAID.get(item.kind, item.kind)} "{item.name}"',
                item.name_span,
                help=_NAME_IT if trainable or item.kind == "model" else _NOT_TRAINED,
            )


def _counted(program: Program) -> Iterator[tuple[str, str]]:
    """The data sets whose example the multiply-adds of contracts are counted on."""
    for requirement in program.requirements:
        for metric in (*metrics(requirement.left), *metrics(requirement.right)):
            example = example_of(program.tickets[metric.ticket], program.data)
            if metric.name == "flops" and example is not None:
                yield example


def _unused_masks(
    own: Sequence[syntax.Item], items: Sequence[syntax.Item], findings: Findings
) -> None:
    for mask in own:
        if isinstance(mask, syntax.MaskDefinition):
            others = nodes([item for item in items if item is not mask])
            if not any(
                isinstance(node, syntax.Name) and node.value == mask.name for node in others
            ):
                findings.warning(
                    "unused-block",
                    f'mask "{mask.name}" is never used',
                    mask.name_span,
                    help=f"remove it, or give it to a ticket:  mask = {mask.name}",
                )


def _unused_tickets(items: Sequence[syntax.Item], program: Program, findings: Findings) -> None:
    """Controls are there to be looked at in the table; so is everything, if nothing is emitted."""
    if not program.emits:
        return
    used = {"dense", *_liked(items), *(emit.ticket for emit in program.emits)}
    for requirement in program.requirements:
        used |= {m.ticket for side in (requirement.left, requirement.right) for m in metrics(side)}
    used |= {name for sanity in program.sanities for name in sanity.tickets}
    used |= {split.ticket for split in program.splits}
    for ticket in program.tickets.values():
        used |= tickets_of(ticket.mask)
        if ticket.found is not None:
            used.add(getattr(ticket.found.method, "target", ""))
    for ticket in program.tickets.values():
        imported = ticket.span.source in program.imports
        if ticket.name not in used and ticket.like is None and not imported:
            findings.warning(
                "unused-ticket",
                f'ticket "{ticket.name}" is found, and nothing comes of it',
                ticket.span,
                help="emit it, require something of it, or remove it",
            )


def _liked(items: Sequence[syntax.Item]) -> Iterator[str]:
    for block in _blocks(items, "ticket"):
        for entry in block.entries:
            if entry.key == "like" and isinstance(entry.value, syntax.Name):
                yield entry.value.value


def _redundant_amounts(own: Sequence[syntax.Item], program: Program, findings: Findings) -> None:
    for block in _blocks(own, "ticket"):
        ticket = program.tickets.get(block.name)
        if ticket is None or ticket.found is None or ticket.found.pattern.density is None:
            continue
        keys = {entry.key: entry for entry in block.entries}
        fixed = [Label(keys["pattern"].span, "says it")] if "pattern" in keys else []
        for key in keys.keys() & AMOUNTS:
            findings.warning(
                "redundant-amount",
                f"{key} says what pattern {ticket.found.pattern} says already",
                keys[key].span,
                *fixed,
                help=f"leave {key} out",
            )


def _pruned_outputs(own: Sequence[syntax.Item], program: Program, findings: Findings) -> None:
    """Units of the last layer are what the model gives out: a class, if it is a classifier."""
    for block in _blocks(own, "ticket"):
        ticket = program.tickets.get(block.name)
        if ticket is None or ticket.found is None or not isinstance(ticket.found.pattern, Rows):
            continue
        signature = program.models[ticket.model].signature
        keys = {entry.key: entry.value for entry in block.entries}
        if signature is None or signature.layers[-1] not in ticket.found.layers:
            continue
        layers, name = keys.get("layers"), signature.layers[-1].name
        if layers is None and "pattern" not in keys:
            continue  # said of the ticket that it is like
        findings.warning(
            "prunes-outputs",
            f'pattern rows prunes outputs of the model: "{name}" is its last layer',
            (layers or keys["pattern"]).span,
            help=f"leave it whole with  layers = {layers.span.text if layers else '…'} - last",
        )


def _blocks(items: Sequence[syntax.Item], *kinds: str) -> Iterator[syntax.Block]:
    return (item for item in items if isinstance(item, syntax.Block) and item.kind in kinds)
