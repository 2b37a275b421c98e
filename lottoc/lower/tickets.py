"""Checking `ticket` blocks: what a ticket lives with, what it is like, how its mask comes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from lottoc.criteria import needs
from lottoc.diagnostics import Label, Span
from lottoc.grammar import syntax
from lottoc.lower.blocks import entries
from lottoc.lower.exclusions import Exclusions
from lottoc.lower.expressions import Expressions
from lottoc.lower.program import Data, MaskOf, Model, Selection, Start, Ticket, Training
from lottoc.lower.read import Reader
from lottoc.lower.selections import FINDING, Keys, Selections
from lottoc.lower.signal import read_on_collapse
from lottoc.masks.factors import misfit

STARTS = ("reinit", "signs", "init")
"""What `weights` may be."""

D = TypeVar("D", Model, Data, Training)

_NOT_TRAINABLE = {
    "onnx": "an ONNX model cannot be trained",
    "hf": "a model of Hugging Face cannot be trained in this version",
    "gguf": "a model in a GGUF file cannot be trained",
}


@dataclass
class Tickets:
    """Checks tickets one by one; a ticket may be `like` one that stands anywhere in the recipe."""

    reader: Reader
    models: Mapping[str, Model]
    written: Mapping[str, Model]
    """Those that the recipe names; the others are what searches have tried."""
    data: Mapping[str, Data]
    trainings: Mapping[str, Training]
    blocks: Mapping[str, syntax.Block]
    expressions: Expressions
    winner: Callable[[syntax.Value], str | None]
    """The model that `shapes.best` stands for."""
    dense: Ticket | None = None
    stabilities: Mapping[str, syntax.Block] = field(default_factory=dict)
    contests: Collection[str] = ()
    """The names of ranks and searches, which are no models but find one."""

    def __post_init__(self) -> None:
        self.done: dict[str, Ticket | None] = {}
        self.open: list[str] = []

    def ticket(self, name: str) -> Ticket | None:
        """The ticket of that name, checked once."""
        if name not in self.done:
            self.open.append(name)
            self.done[name] = self._check(self.blocks[name])
            self.open.pop()
        return self.done[name]

    def _check(self, block: syntax.Block) -> Ticket | None:
        keys = entries(self.reader, block)
        like: Ticket | None = None
        if "like" in keys:
            like = self._like(keys["like"].value)
            if like is None:
                return None
        control = like is not None and bool({"weights", "mask"} & set(keys))
        if control or "mask" in keys:
            return self._given(block, keys, like)
        return self._found(block, keys, like)

    def _like(self, value: syntax.Value) -> Ticket | None:
        if not isinstance(value, syntax.Name):
            self.reader.mismatch(value, "the name of a ticket")
        elif value.value in self.open:
            self.reader.findings.error(
                "cyclic-ticket", f'ticket "{value.value}" is like itself', value.span
            )
        elif value.value not in self.blocks:
            self.reader.unknown(value.value, self.blocks, "ticket", value.span)
        else:
            return self.ticket(value.value)
        return None

    def _given(self, block: syntax.Block, keys: Keys, like: Ticket | None) -> Ticket | None:
        """A ticket whose mask is given: a control, or a mask transferred from elsewhere."""
        for key in (*FINDING, "exclude"):
            if key in keys:
                self.reader.findings.error(
                    "unused-key",
                    f'"{key}" has no effect: the mask of "{block.name}" is given',
                    keys[key].key_span,
                    help=f"remove {key}, or the mask",
                )
        start = self._start(keys)
        wanted = read_on_collapse(self.reader, keys, block, None)
        if "mask" in keys:
            mask = self.expressions.mask(keys["mask"].value)
        else:
            assert like is not None
            mask = like.mask or MaskOf(like.name)
        context = self._context(block, keys, like)
        if mask is None or context is None or ("weights" in keys and start is None):
            return None
        return Ticket(
            block.name,
            *context,
            block.name_span,
            mask=mask,
            like=like.name if like else None,
            start=start,
            on_collapse=wanted,
        )

    def _found(self, block: syntax.Block, keys: Keys, like: Ticket | None) -> Ticket | None:
        context = self._context(block, keys, like)
        start = self._start(keys)
        if like is not None and like.found is None:
            self.reader.findings.error(
                "like-control",
                f'"{like.name}" is a control: there is no way of finding it to be like',
                keys["like"].value.span,
            )
            return None
        base = like.found if like else None
        if context is None:
            return None
        read = Selections(self.reader, self.models[context[0]], self.trainings, self.stabilities)
        selection = read.selection(block, keys, base, context[1], context[2])
        if selection is None or ("weights" in keys and start is None):
            return None
        if not self._aims(block, keys, selection):
            return None
        if self.models[context[0]].source == "onnx" and not needs(selection.criterion.name):
            if "data" in keys:
                self.reader.findings.error(
                    "unused-key",
                    f'"data" has no effect: {selection.criterion.name} looks at none',
                    keys["data"].key_span,
                    help="remove data, or use a criterion such as wanda",
                )
            context = (context[0], None, None)
        exclusions = Exclusions(self.reader, self.expressions, self.ticket, self.open)
        exclude = exclusions.read(block, keys, like, selection, context[0])
        if exclude is None:
            return None
        base_word = like.on_collapse if like is not None else ""
        wanted = read_on_collapse(self.reader, keys, block, selection, base_word)
        return Ticket(
            block.name,
            *context,
            block.name_span,
            found=selection,
            start=start,
            on_collapse=wanted,
            exclude=exclude,
        )

    def _aims(self, block: syntax.Block, keys: Keys, selection: Selection) -> bool:
        """The ticket that a method approximates exists, and its layers can be."""
        target = getattr(selection.method, "target", None)
        if target is None:
            return True
        place = keys["method" if "method" in keys else "like"].value.span
        if target in self.open:
            self.reader.findings.error(
                "cyclic-ticket", f'ticket "{target}" is approximated by itself', place
            )
            return False
        if target not in (*self.blocks, "dense"):
            if target:
                self.reader.unknown(target, (*self.blocks, "dense"), "ticket", place)
            else:
                self.reader.findings.error(
                    "missing-key",
                    f"{selection.method_name} needs a target: the ticket that it approximates",
                    place,
                    help=f"write  {selection.method_name}(target = dense)",
                )
            return False
        found = self.dense if target == "dense" else self.ticket(target)
        if found is None:
            if target == "dense":
                message = "with several models there is no dense"
                self.reader.findings.error("unknown-name", message, place, help="name a ticket")
            return False
        return self._factors(block, keys, selection, found, place)

    def _factors(
        self,
        block: syntax.Block,
        keys: Keys,
        selection: Selection,
        target: Ticket,
        place: Span,
    ) -> bool:
        signature = self.models[target.model].signature
        if signature is None or not selection.layers:
            return True  # said once the model is known
        layers, wanted, name = selection.layers, tuple(signature), target.name
        problem = (
            f'{len(layers)} layers for {len(wanted)} of "{name}": each of these takes two'
            if len(layers) != 2 * len(wanted)
            else next(
                filter(None, map(misfit, layers[::2], layers[1::2], wanted)),
                None,
            )
        )
        if problem is None:
            return True
        labels = [Label(keys["layers"].value.span, "selected here")] if "layers" in keys else []
        self.reader.findings.error(
            "method-unsuited",
            f"{selection.method_name} does not work with these layers: {problem}",
            Label(place),
            *labels,
            help="take linear layers in → h, h → out for each layer in → out of the target",
        )
        return False

    def _context(
        self, block: syntax.Block, keys: Keys, like: Ticket | None
    ) -> tuple[str, str | None, str | None] | None:
        """The names of the model, data and training that the ticket lives with."""
        model = self._one(block, keys, "model", self.written, like.model if like else None)
        if model is None:
            return None
        if self.models[model].source != "torch":
            if "training" in keys:
                self.reader.findings.error(
                    "not-trainable",
                    _NOT_TRAINABLE[self.models[model].source],
                    Label(keys["training"].span),
                    help='take the model from its source: torch("file.py:function")',
                )
            inherited = like.data if like else None
            if "data" not in keys and inherited is None and len(self.data) != 1:
                return model, None, None
            return model, self._one(block, keys, "data", self.data, inherited, False), None
        training = self._one(
            block, keys, "training", self.trainings, like.training if like else None, False
        )
        data = self._one(
            block, keys, "data", self.data, like.data if like else None, training is not None
        )
        if training is not None and data is None:
            return None
        if training is not None and data is not None and "train" not in self.data[data].splits:
            self.reader.findings.error(
                "missing-key",
                f'data "{data}" needs "train": ticket "{block.name}" is trained on it',
                Label(self.data[data].span, "has no train"),
                help="add  train = …",
            )
            return None
        return model, data, training

    def _one(
        self,
        block: syntax.Block,
        keys: Keys,
        key: str,
        known: Mapping[str, D],
        inherited: str | None,
        needed: bool = True,
    ) -> str | None:
        """The named one, else the inherited one, else the only one there is."""
        if key in keys:
            value = keys[key].value
            if key == "model" and isinstance(value, syntax.Attribute):
                return self.winner(value)
            if not isinstance(value, syntax.Name):
                self.reader.mismatch(value, f"the name of a {key}")
            elif value.value in known:
                return value.value
            elif key == "model" and value.value in self.contests:
                help = f"write  model = {value.value}.best"
                message = f'"{value.value}" finds a model, and is none itself'
                self.reader.findings.error("wrong-type", message, value.span, help=help)
            else:
                self.reader.unknown(value.value, known, key, value.span)
            return None
        if inherited is not None:
            return inherited
        if len(known) == 1:
            return next(iter(known))
        if known or needed:
            there = f"which of {', '.join(known)}" if known else f"a {key}, and there is none"
            self.reader.findings.error(
                "missing-key",
                f'ticket "{block.name}" must say {there}',
                Label(block.name_span, f"needs a {key}"),
                help=f"add  {key} = …" if known else f"add a {key} block",
            )
        return None

    def _start(self, keys: Keys) -> Start | None:
        if "weights" not in keys:
            return None
        head = self.reader.head(keys["weights"].value, "reinit, signs or init(signed_constant)")
        if head is None:
            return None
        name, arguments = head
        span = keys["weights"].value.span
        if name not in STARTS:
            self.reader.unknown(name, STARTS, "weights", span)
        elif name == "signs":
            return Start("signs")
        elif name == "init":
            return self._init(arguments, span)
        else:
            options = self.reader.options(arguments, _Seed, "reinit")
            return None if options is None else Start("reinit", _Seed(**options).seed)
        return None

    def _init(self, arguments: tuple[syntax.Argument, ...], span: Span) -> Start | None:
        """`init(signed_constant)`."""
        options = self.reader.options(arguments, _Init, "init")
        if options is not None and not options:
            message, help = "init says which weights to start from", "write  init(signed_constant)"
            self.reader.findings.error("wrong-type", message, span, help=help)
        return Start(**options) if options else None


@dataclass(frozen=True)
class _Init:
    kind: Literal["signed_constant"]


@dataclass(frozen=True)
class _Seed:
    seed: int = 1
