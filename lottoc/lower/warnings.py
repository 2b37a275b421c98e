"""What is legal in a recipe and hardly meant: blocks nobody uses, contracts that say nothing."""

from __future__ import annotations

import math

from lottoc.diagnostics import Findings
from lottoc.grammar import syntax
from lottoc.lower.imports import nodes
from lottoc.lower.program import (
    Arithmetic,
    Constant,
    MaskBinary,
    MaskExpression,
    MaskNot,
    MaskOf,
    MaskShuffle,
    Metric,
    Number,
    Program,
    Requirement,
)

AMOUNTS = ("sparsity", "density", "compression")


def warn(recipe: syntax.Recipe, program: Program, findings: Findings) -> None:
    """Look at a recipe without errors; what imported files hold may go unused."""
    _unused_blocks(recipe, program, findings)
    _unused_tickets(program, findings)
    _redundant_amounts(recipe, program, findings)
    for requirement in program.requirements:
        _contract(requirement, findings)


def _unused_blocks(recipe: syntax.Recipe, program: Program, findings: Findings) -> None:
    tickets = program.tickets.values()
    used = {name for t in tickets for name in (t.model, t.data, t.training)}
    named = {node.value for node in nodes(recipe.items) if isinstance(node, syntax.Name)}
    for item in recipe.items:
        if isinstance(item, syntax.MaskDefinition) and item.name not in named:
            findings.warning("unused-block", f'mask "{item.name}" is never used', item.name_span)
        kinds = ("model", "data", "training")
        if isinstance(item, syntax.Block) and item.kind in kinds and item.name not in used:
            findings.warning(
                "unused-block",
                f'no ticket uses the {item.kind} "{item.name}"',
                item.name_span,
                help="remove it, or name it in the ticket it is meant for",
            )


def _unused_tickets(program: Program, findings: Findings) -> None:
    """Controls are there to be looked at in the table; so is everything, if nothing is emitted."""
    if not program.emits:
        return
    used = {emit.ticket for emit in program.emits}
    for requirement in program.requirements:
        used |= _tickets(requirement.left) | _tickets(requirement.right)
    for ticket in program.tickets.values():
        used |= {ticket.like or ""} | (_masks(ticket.mask) if ticket.mask is not None else set())
    for ticket in program.tickets.values():
        imported = ticket.span.source in program.imports
        if ticket.name not in {*used, "dense"} and ticket.like is None and not imported:
            findings.warning(
                "unused-ticket",
                f'ticket "{ticket.name}" is found, and nothing comes of it',
                ticket.span,
                help="emit it, require something of it, or remove it",
            )


def _tickets(number: Number) -> set[str]:
    match number:
        case Metric(ticket=name):
            return {name}
        case Arithmetic(left=left, right=right):
            return _tickets(left) | _tickets(right)
    return set()


def _masks(mask: MaskExpression) -> set[str]:
    match mask:
        case MaskOf(ticket=name):
            return {name}
        case MaskShuffle(of=of) | MaskNot(of=of):
            return _masks(of)
        case MaskBinary(left=left, right=right):
            return _masks(left) | _masks(right)


def _redundant_amounts(recipe: syntax.Recipe, program: Program, findings: Findings) -> None:
    for block in recipe.items:
        if not isinstance(block, syntax.Block) or block.kind != "ticket":
            continue
        ticket = program.tickets.get(block.name)
        if ticket is None or ticket.found is None or ticket.found.pattern.n_of_m is None:
            continue
        for entry in block.entries:
            if entry.key in AMOUNTS:
                findings.warning(
                    "redundant-amount",
                    f"{entry.key} says what pattern {ticket.found.pattern} says already",
                    entry.key_span,
                    help=f"leave {entry.key} out",
                )


def _contract(requirement: Requirement, findings: Findings) -> None:
    always = holds(requirement.operator, requirement.left, requirement.right)
    if always is True:
        findings.warning(
            "require-always",
            "this contract always holds, whatever the tickets are",
            requirement.span,
            help="compare with what could fail, e.g.  require t.accuracy >= dense.accuracy - 1%",
        )
    elif always is False:
        findings.error(
            "require-never",
            "this contract can never hold",
            requirement.span,
            help="accuracy and sparsity are shares between 0% and 100%",
        )


def holds(operator: str, left: Number, right: Number) -> bool | None:
    """Whether a comparison is decided by the ranges of its sides alone; None if it is open."""
    if left == right:
        return operator in (">=", "<=", "==")
    if operator in ("<", "<="):
        left, right, operator = right, left, operator.replace("<", ">")
    (low, high), (least, most) = bounds(left), bounds(right)
    if operator == ">=" and low >= most:
        return True
    if operator == ">" and low > most:
        return True
    if (operator == ">" and high <= least) or (operator == ">=" and high < least):
        return False
    if operator in ("==", "!="):
        apart = high < least or low > most
        same = low == high == least == most
        return (operator == "!=") if apart else (operator == "==") if same else None
    return None


_SHARES = ("accuracy", "sparsity")


def bounds(number: Number) -> tuple[float, float]:
    """The least and the largest that a number can be."""
    match number:
        case Constant(value=value):
            return value, value
        case Metric(name=name):
            return 0.0, 1.0 if name in _SHARES else math.inf
        case Arithmetic(operator=operator, left=left, right=right):
            return _arithmetic(operator, bounds(left), bounds(right))


def _arithmetic(
    operator: str, left: tuple[float, float], right: tuple[float, float]
) -> tuple[float, float]:
    (a, b), (c, d) = left, right
    if operator == "+":
        return a + c, b + d
    if operator == "-":
        return a - d, b - c
    if operator == "/" and c <= 0 <= d:
        return -math.inf, math.inf
    ends = [_times(operator, x, y) for x in left for y in right]
    return (-math.inf, math.inf) if any(map(math.isnan, ends)) else (min(ends), max(ends))


def _times(operator: str, x: float, y: float) -> float:
    return x * y if operator == "*" else x / y
