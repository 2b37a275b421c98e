"""Checking `split` blocks: a ticket for each part of the data, their core and their specialists.

Source: "Disentangled Lottery Tickets" (2508.16915), after COLT (Hossain et al. 2022): core is
m_1 & m_2 & …, specialist i is m_i - core.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from lottoc.criteria import needs
from lottoc.diagnostics import Label
from lottoc.grammar import syntax
from lottoc.lower.blocks import entries
from lottoc.lower.program import Data, MaskBinary, MaskSplit, Model, Split, Ticket
from lottoc.lower.read import Reader
from lottoc.lower.splits import NpzSplit
from lottoc.partition import ByClass, ByShare, Part

CORE, SPECIALIST, SPECIALISTS = "core", "specialist", "specialists"
PARTITIONS = ("by_class", "random")


@dataclass(frozen=True)
class Partition:
    """What a block says of the data: its parts, and how many names they have."""

    block: syntax.Block
    parts: tuple[Part, ...]
    count: int
    """As many as parts, or as were meant where they could not be read."""

    @property
    def names(self) -> tuple[str, ...]:
        """The tickets that the block makes, as recipes and reports call them."""
        numbers = range(1, self.count + 1)
        specialists = (specialist_name(self.block.name, number) for number in numbers)
        return core_name(self.block.name), *specialists


def core_name(split: str) -> str:
    """What the ticket of a core is called."""
    return f"{split}.{CORE}"


def specialist_name(split: str, number: int) -> str:
    """What the ticket of a specialist is called, counted from 1."""
    return f"{split}.{SPECIALIST}({number})"


def part_name(split: str, number: int) -> str:
    """What the data of a part is called; no recipe can name it."""
    return f"{split}.part({number})"


def ticket_name(value: syntax.Value) -> str | None:
    """`winning`, `digits.core`, `digits.specialist(1)`: a ticket's name as it is written."""
    match value:
        case syntax.Name(value=name):
            return name
        case syntax.Attribute(base=syntax.Name(value=split), name="core"):
            return core_name(split)
        case syntax.Call(
            function=syntax.Attribute(base=syntax.Name(value=split), name="specialist"),
            arguments=(
                syntax.Argument(name=None, value=syntax.Number(value=number, is_integer=True)),
            ),
        ):
            return specialist_name(split, int(number))
    return None


def read_partition(reader: Reader, block: syntax.Block) -> Partition:
    """The parts that a block asks for; none after an error."""
    keys = entries(reader, block)
    if "partitions" not in keys:
        return Partition(block, (), 2)
    value = keys["partitions"].value
    head = reader.head(value, "by_class([0..4], [5..9]) or random(3)")
    if head is None:
        return Partition(block, (), 2)
    name, arguments = head
    if name == "by_class":
        parts: tuple[Part, ...] = _by_class(reader, value, arguments)
        return Partition(block, parts, len(parts) or max(2, len(arguments)))
    if name == "random":
        parts = _random(reader, value, arguments)
        return Partition(block, parts, len(parts) or 2)
    reader.unknown(name, PARTITIONS, "partition", value.span)
    return Partition(block, (), 2)


def _by_class(
    reader: Reader, value: syntax.Value, arguments: tuple[syntax.Argument, ...]
) -> tuple[ByClass, ...]:
    parts: list[ByClass] = []
    seen: dict[int, syntax.Value] = {}
    clean = True
    for argument in arguments:
        classes = _classes(reader, argument.value)
        if argument.name is not None or not classes:
            if argument.name is not None:
                reader.mismatch(argument.value, "lists of classes without names")
            clean = False
            continue
        for number in classes:
            if number in seen:
                message = f"class {number} is in two parts"
                labels = (Label(argument.value.span), Label(seen[number].span, "and in this"))
                help = "give each class to one part"
                reader.findings.error("split-partitions", message, *labels, help=help)
                return ()
        seen |= dict.fromkeys(classes, argument.value)
        parts.append(ByClass(classes))
    if not clean:
        return ()
    if len(parts) < 2:
        _too_few(reader, value, len(parts), "by_class([0..4], [5..9])")
        return ()
    return tuple(parts)


def _classes(reader: Reader, value: syntax.Value) -> tuple[int, ...]:
    """`[0..4]`, `[0, 2, 7..9]`."""

    def read(item: syntax.Value) -> range | None:
        if isinstance(item, syntax.Range):
            return range(item.start, item.stop + 1)
        number = reader.integer(item, least=0)
        return None if number is None else range(number, number + 1)

    before = len(reader.findings.errors)
    found = [number for part in reader.items(value, read) for number in part]
    if len(reader.findings.errors) > before:
        return ()
    if not found or len({*found}) != len(found):
        message = "names no class" if not found else "names a class twice"
        reader.findings.error("split-partitions", message, value.span, help="as [0..4]")
        return ()
    return tuple(found)


@dataclass(frozen=True)
class _Random:
    parts: int
    seed: int = 0


def _random(
    reader: Reader, value: syntax.Value, arguments: tuple[syntax.Argument, ...]
) -> tuple[ByShare, ...]:
    options = reader.options(arguments, _Random, "random")
    if options is None:
        return ()
    count, seed = options.get("parts", 0), options.get("seed", 0)
    if count < 2:
        _too_few(reader, value, count, "random(3)")
        return ()
    if seed < 0:
        reader.findings.error("out-of-range", f"random: seed is {seed}, not at least 0", value.span)
        return ()
    return tuple(ByShare(number, count, seed) for number in range(1, count + 1))


def _too_few(reader: Reader, value: syntax.Value, count: int, example: str) -> None:
    message = f"a split has two parts at least, not {count}"
    reader.findings.error("split-partitions", message, value.span, help=f"as {example}")


@dataclass(frozen=True)
class Checked:
    """A block, and the tickets and parts of data that it adds to the recipe."""

    split: Split
    tickets: dict[str, Ticket]
    data: dict[str, Data]


def check_split(
    reader: Reader,
    partition: Partition,
    tickets: Mapping[str, Ticket | None],
    models: Mapping[str, Model],
    data: Mapping[str, Data],
) -> Checked | None:
    """The tickets of a block; None after an error. Of `tickets` those with an error are None.

    The core is trained on all of the data from where the ticket starts. A specialist is the core
    with more weights, which alone are trained on the part, so a core has one set of weights.
    """
    keys = {entry.key: entry for entry in partition.block.entries}
    if "ticket" not in keys:
        return None
    ticket = _ticket(reader, keys["ticket"].value, tickets, models, data)
    if ticket is None or ticket.data is None or not partition.parts:
        return None
    name, span = partition.block.name, partition.block.name_span
    parts = {
        part_name(name, number): replace(
            data[ticket.data], name=part_name(name, number), whole=ticket.data, part=part, span=span
        )
        for number, part in enumerate(partition.parts, start=1)
    }
    core = MaskSplit(name, ticket.name, 0)
    common = Ticket(
        core_name(name),
        ticket.model,
        ticket.data,
        ticket.training,
        span,
        mask=core,
        like=ticket.name,
    )
    made = {common.name: common}
    for number, part_of in enumerate(parts, start=1):
        alone = MaskSplit(name, ticket.name, number)
        own = specialist_name(name, number)
        made[own] = replace(
            common,
            name=own,
            data=part_of,
            mask=MaskBinary("|", core, alone),
            grown=alone,
            onto=common.name,
        )
    return Checked(Split(name, ticket.name, tuple(parts), span), made, parts)


def _ticket(
    reader: Reader,
    value: syntax.Value,
    tickets: Mapping[str, Ticket | None],
    models: Mapping[str, Model],
    data: Mapping[str, Data],
) -> Ticket | None:
    """The ticket that is found on each part."""
    if not isinstance(value, syntax.Name):
        reader.mismatch(value, "the name of a ticket")
        return None
    if value.value == "dense":
        help = "name the ticket that is found on each part"
        reader.findings.error("wrong-type", '"dense" has no mask', value.span, help=help)
        return None
    if value.value not in tickets:
        reader.unknown(value.value, tickets, "ticket", value.span)
        return None
    ticket = tickets[value.value]
    if ticket is None:
        return None
    for reason, help in _unsuited(ticket, models, data):
        message = f'"{ticket.name}" cannot be found on parts of its data: {reason}'
        reader.findings.error("split-ticket", message, value.span, help=help)
        return None
    return ticket


def _unsuited(
    ticket: Ticket, models: Mapping[str, Model], data: Mapping[str, Data]
) -> Iterator[tuple[str, str]]:
    found = ticket.found
    if found is None:
        yield "its mask is given", "name the ticket that it is found as"
        return
    if getattr(found.method, "adapts", False):
        yield "its mask says what may move, not what is there", "take another method than lota"
    if not getattr(found.method, "trains_weights", True):
        yield "its weights are never trained, and a core's are", "take a method such as imp"
    if models[ticket.model].source != "torch":
        yield (
            f"it is of {models[ticket.model].source}",
            'take the model from its source: torch("file.py:function")',
        )
    if ticket.data is None or not (ticket.training or needs(found.criterion.name)):
        yield "nothing of it hangs on data", "give it a training, or a criterion such as snip"
    elif not all(isinstance(split, NpzSplit) for split in data[ticket.data].splits.values()):
        yield "its data has no classes", 'take it from  npz("data.npz", x = "x", y = "y")'
