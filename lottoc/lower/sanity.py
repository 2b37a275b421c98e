"""Checking `sanity` blocks: control experiments that say what a ticket's mask is worth.

Source: Su et al. 2020 ("Sanity-Checking Pruning Methods"), Frankle et al. 2021 ("Pruning Neural
Networks at Initialization: Why Are We Missing the Mark?").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lottoc.diagnostics import Label, Span
from lottoc.grammar import syntax
from lottoc.lower.blocks import entries
from lottoc.lower.program import Data, MaskOf, MaskShuffle, Sanity, Start, Ticket
from lottoc.lower.read import Reader

CONTROLS = ("shuffle", "reinit", "invert")


@dataclass(frozen=True)
class _Shuffle:
    seed: int = 0


@dataclass(frozen=True)
class _Reinit:
    seed: int = 1


@dataclass(frozen=True)
class _Invert:
    pass


_OPTIONS: Mapping[str, type] = {"shuffle": _Shuffle, "reinit": _Reinit, "invert": _Invert}


def check_sanity(
    reader: Reader,
    block: syntax.Block,
    tickets: Mapping[str, Ticket | None],
    data: Mapping[str, Data],
) -> tuple[Sanity, dict[str, Ticket]] | None:
    """The controls of a block, and a ticket for each of them; None after an error.

    Of `tickets` those are None that have an error, which is told already.
    They are the tickets that `mask = shuffle(t)`, `weights = reinit` and a criterion turned around
    would make, so that what a recipe says by itself too is done once.
    """
    keys = entries(reader, block)
    before = len(reader.findings.errors)
    originals = _tickets(reader, keys["tickets"].value, tickets, data) if "tickets" in keys else []
    named = _controls(reader, keys["controls"].value if "controls" in keys else None)
    made: dict[str, Ticket] = {}
    for ticket, place in originals:
        for control, seed in named.items():
            twin = _control(block.name, control, seed, ticket)
            if twin is None:
                found = ticket.found
                how = "is given" if found is None else f"is chosen by {found.method_name} itself"
                reader.findings.error(
                    "no-inversion",
                    f'the mask of "{ticket.name}" {how}: there is no criterion to invert',
                    Label(place),
                    help="leave invert out of controls, or the ticket out of tickets",
                )
            else:
                made[twin.name] = twin
    if len(reader.findings.errors) > before or not originals or not named:
        return None
    names = tuple(ticket.name for ticket, _ in originals)
    return Sanity(block.name, names, tuple(named), block.name_span), made


def _tickets(
    reader: Reader,
    value: syntax.Value,
    tickets: Mapping[str, Ticket | None],
    data: Mapping[str, Data],
) -> list[tuple[Ticket, Span]]:

    def read(item: syntax.Value) -> tuple[Ticket, Span] | None:
        if not isinstance(item, syntax.Name):
            reader.mismatch(item, "the name of a ticket")
        elif item.value == "dense":
            help = "name a ticket of the recipe"
            reader.findings.error("wrong-type", '"dense" has no mask', item.span, help=help)
        elif item.value not in tickets:
            reader.unknown(item.value, tickets, "ticket", item.span)
        elif (ticket := tickets[item.value]) is None:
            broken.append(item.value)
        elif not _evaluated(ticket, data):
            reader.findings.error(
                "no-test-data",
                f'"{item.value}" cannot be compared with its controls',
                Label(item.span, "needs a training, and accuracy on a test split"),
                help='give it a training, and a data block with test = npz("data.npz", …)',
            )
        else:
            return ticket, item.span
        return None

    broken: list[str] = []
    before = len(reader.findings.errors)
    found = {ticket.name: (ticket, span) for ticket, span in reader.items(value, read)}
    if not found and not broken and len(reader.findings.errors) == before:
        reader.findings.error("wrong-type", "names no ticket", value.span, help="as [snip, grasp]")
    return list(found.values())


def _evaluated(ticket: Ticket, data: Mapping[str, Data]) -> bool:
    return (
        ticket.training is not None
        and ticket.data is not None
        and "test" in data[ticket.data].splits
    )


def _controls(reader: Reader, value: syntax.Value | None) -> dict[str, int]:
    """Seeds of controls, by name; all of them if a block names none."""
    if value is None:
        return {name: getattr(_OPTIONS[name](), "seed", 0) for name in CONTROLS}

    def read(item: syntax.Value) -> tuple[str, int] | None:
        head = reader.head(item, f"a control: {', '.join(CONTROLS)}")
        if head is None:
            return None
        name, arguments = head
        if name not in CONTROLS:
            reader.unknown(name, CONTROLS, "control", item.span)
            return None
        options = reader.options(arguments, _OPTIONS[name], name)
        if options is None:
            return None
        seed = getattr(_OPTIONS[name](**options), "seed", 0)
        if seed < 0:
            reader.findings.error(
                "out-of-range", f"{name}: seed is {seed}, not at least 0", item.span
            )
        return name, seed

    before = len(reader.findings.errors)
    found = dict(reader.items(value, read))
    if not found and len(reader.findings.errors) == before:
        known = f"as [{', '.join(CONTROLS)}]"
        reader.findings.error("wrong-type", "names no control", value.span, help=known)
    return found


def _control(block: str, control: str, seed: int, ticket: Ticket) -> Ticket | None:
    """The ticket of one control experiment; None if there is nothing to invert."""
    name = control_name(block, control, ticket.name)
    twin = replace(ticket, name=name, like=ticket.name, found=None, mask=MaskOf(ticket.name))
    match control:
        case "shuffle":
            return replace(twin, mask=MaskShuffle(MaskOf(ticket.name), seed), start=None)
        case "reinit":
            return replace(twin, start=Start("reinit", seed))
        case _:
            if ticket.found is None or not getattr(ticket.found.method, "invertible", True):
                return None
            inverted = replace(ticket.found, inverted=not ticket.found.inverted)
            return replace(twin, found=inverted, mask=None, start=ticket.start)


def control_name(block: str, control: str, ticket: str) -> str:
    """What the ticket of a control is called in tables; no recipe can call one so."""
    return f"{block}.{control}.{ticket}"
