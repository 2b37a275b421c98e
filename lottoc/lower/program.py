"""A checked recipe: names resolved, values typed, defaults filled in; nothing loaded yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from lottoc.diagnostics import Source, Span
from lottoc.lower.splits import Split as DataSplit
from lottoc.masks.patterns import Pattern
from lottoc.methods.lab import Duration, Method
from lottoc.partition import Part
from lottoc.signature import Layer, Signature

SourceKind = Literal["onnx", "torch", "hf", "gguf"]
SOURCES: Mapping[SourceKind, tuple[str, ...]] = {
    "onnx": (),
    "torch": ("accuracy", "loss"),
    "hf": ("perplexity",),
    "gguf": ("perplexity",),
}
"""Where models come from, and by which metrics they are evaluated."""


@dataclass(frozen=True)
class Model:
    """`model NAME { … }`."""

    name: str
    source: SourceKind
    path: Path
    function: str
    seed: int
    signature: Signature | None
    """None as long as a torch model has never been loaded on this machine."""
    digest: str
    span: Span


@dataclass(frozen=True)
class Data:
    """`data NAME { … }`."""

    name: str
    splits: Mapping[str, DataSplit]
    span: Span
    whole: str = ""
    """The data set that this is a part of, where it is one."""
    part: Part | None = None


@dataclass(frozen=True)
class Training:
    """`training NAME { … }`; `options` are fields of `lottoc.training.spec.TrainingSpec`."""

    name: str
    options: Mapping[str, Any]
    length: Duration
    milestones: tuple[Duration, ...]
    warmup: Duration
    span: Span


@dataclass(frozen=True)
class Criterion:
    """A saliency score and its options."""

    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Selection:
    """How a ticket's masks are found."""

    layers: tuple[Layer, ...]
    criterion: Criterion
    scope: str
    density: Fraction
    pattern: Pattern
    method_name: str
    method: Method
    inverted: bool = False
    """Whether the lowest scores are kept: a control experiment."""


@dataclass(frozen=True)
class MaskOf:
    """The masks of a ticket: `winning.mask`."""

    ticket: str


@dataclass(frozen=True)
class MaskShuffle:
    """`shuffle(winning)`."""

    of: MaskExpression
    seed: int


@dataclass(frozen=True)
class MaskBinary:
    """`a.mask & b.mask`."""

    operator: str
    left: MaskExpression
    right: MaskExpression


@dataclass(frozen=True)
class MaskNot:
    """`~a.mask`."""

    of: MaskExpression


@dataclass(frozen=True)
class MaskSplit:
    """The core of a `split` block, or if `number` is not 0 a specialist without the core."""

    split: str
    ticket: str
    number: int


MaskExpression = MaskOf | MaskShuffle | MaskBinary | MaskNot | MaskSplit


def tickets_of(mask: MaskExpression | None) -> set[str]:
    """The tickets whose masks an expression is made of."""
    match mask:
        case MaskOf(ticket=name) | MaskSplit(ticket=name):
            return {name}
        case MaskShuffle(of=of) | MaskNot(of=of):
            return tickets_of(of)
        case MaskBinary(left=left, right=right):
            return tickets_of(left) | tickets_of(right)
    return set()


@dataclass(frozen=True)
class Start:
    """The weights a ticket starts from: `reinit` draws them anew, `signs` keeps only signs, and so
    does `signed_constant`, with a constant that depends on the fan-in alone."""

    kind: Literal["reinit", "signs", "signed_constant"]
    seed: int = 0


@dataclass(frozen=True)
class Ticket:
    """`ticket NAME { … }`.

    `found` says how its masks are found; `mask` that they are given. Exactly one is set, save for
    `dense`, which has neither.
    """

    name: str
    model: str
    data: str | None
    training: str | None
    span: Span
    found: Selection | None = None
    mask: MaskExpression | None = None
    like: str | None = None
    """The ticket whose rewound weights a control with a given mask starts from."""
    start: Start | None = None
    on_collapse: str = ""
    """What to do about masks that cut the network; empty where the recipe does not say."""
    onto: str = ""
    """The ticket whose trained weights stay as they are; only those of `grown` are trained."""
    grown: MaskExpression | None = None
    exclude: tuple[str, ...] = ()
    """Tickets it begins with, and whose weights it leaves alone, the first one first."""


def adapting(ticket: Ticket | None, tickets: Mapping[str, Ticket]) -> bool:
    """Whether a ticket's mask says what may move, not what is there: nothing of it is zero."""
    while ticket is not None and ticket.found is None:
        ticket = tickets.get(ticket.like) if ticket.like else None
    found = ticket.found if ticket is not None else None
    return found is not None and getattr(found.method, "adapts", False)


@dataclass(frozen=True)
class Split:
    """`split NAME { … }`: a ticket, and the parts of its data that it is found on."""

    name: str
    ticket: str
    parts: tuple[str, ...]
    span: Span


@dataclass(frozen=True)
class Sanity:
    """`sanity NAME { … }`: tickets, and the names of the controls each is compared with."""

    name: str
    tickets: tuple[str, ...]
    controls: tuple[str, ...]
    span: Span


@dataclass(frozen=True)
class Rank:
    """`rank NAME { … }`: models, and the proxies with their options that put them in order."""

    name: str
    models: tuple[str, ...]
    proxies: Mapping[str, Mapping[str, Any]]
    data: str
    span: Span


@dataclass(frozen=True)
class Stability:
    """`stability NAME { … }`: steps at which copies of a training part."""

    name: str
    model: str
    data: str
    training: str
    at: tuple[Duration, ...]
    copies: int
    points: int
    threshold: Fraction
    seed: int
    span: Span


@dataclass(frozen=True)
class Search:
    """`search NAME { … }`: architectures by the arguments of a function, and what was trained."""

    name: str
    path: Path
    function: str
    space: Mapping[str, tuple[bool | int | float | str, ...]]
    data: str
    training: str
    trials: int
    proxies: Mapping[str, Mapping[str, Any]]
    """What the search is guided by; none is a plain one."""
    seed: int
    span: Span
    tried: tuple[Model, ...] = ()
    """The models that were trained, in this order."""
    best: str = ""


@dataclass(frozen=True)
class Metric:
    """`winning.accuracy`, `collapse(winning)`."""

    ticket: str
    name: str


@dataclass(frozen=True)
class Constant:
    """A number of a `require`."""

    value: float


@dataclass(frozen=True)
class Arithmetic:
    """`dense.accuracy - 1%`."""

    operator: str
    left: Number
    right: Number


Number = Metric | Constant | Arithmetic


@dataclass(frozen=True)
class Requirement:
    """`require LEFT OP RIGHT`."""

    operator: str
    left: Number
    right: Number
    span: Span


@dataclass(frozen=True)
class Emit:
    """`emit KIND "PATH" { … }`."""

    kind: str
    path: str
    ticket: str
    format: str
    values: str
    target: str
    """A shipped target's name, or the path of a target file, which ends in .toml."""
    batch: tuple[int, ...]
    span: Span
    swaps: tuple[str, ...] = ()
    """Tickets that files beside the artefact turn it into."""
    fixed: bool = False
    """Whether the model takes batches of the one size in `batch` only."""
    activations: str = "same"
    samples: int = 0
    """Examples that the ranges of int8 activations are taken from."""
    data: str | None = None
    """The data set that those examples are of."""


@dataclass(frozen=True)
class Program:
    """Everything a recipe says, in the order it says it."""

    models: Mapping[str, Model]
    data: Mapping[str, Data]
    trainings: Mapping[str, Training]
    tickets: Mapping[str, Ticket]
    requirements: tuple[Requirement, ...]
    emits: tuple[Emit, ...]
    sanities: tuple[Sanity, ...] = field(default=())
    splits: tuple[Split, ...] = field(default=())
    ranks: tuple[Rank, ...] = field(default=())
    searches: tuple[Search, ...] = field(default=())
    unknown_models: tuple[str, ...] = field(default=())
    """Models whose layers could not be checked, because they have never been loaded."""
    imports: tuple[Source, ...] = field(default=())
    """The files that were imported."""
    stabilities: Mapping[str, Stability] = field(default_factory=dict)


def method_of(program: Program, ticket: Ticket) -> Method | None:
    """The method of a ticket, or of the one that it is like; None where a mask is all there is."""
    while ticket.found is None:
        if ticket.like is None:
            return None
        ticket = program.tickets[ticket.like]
    return ticket.found.method


def adapts(program: Program, ticket: Ticket) -> bool:
    """Whether a ticket's mask says what may move, not what is there: nothing of it is zero."""
    return adapting(ticket, program.tickets)


def trains_weights(program: Program, ticket: Ticket) -> bool:
    """Whether what a ticket is like trains weights, and not the mask alone."""
    return getattr(method_of(program, ticket), "trains_weights", True)
