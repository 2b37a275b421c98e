"""Checking `ticket` blocks: what is pruned, by what measure, how far, and by which method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeVar

from lottoc import criteria, methods
from lottoc.diagnostics import Label
from lottoc.grammar import syntax
from lottoc.lower.blocks import entries
from lottoc.lower.expressions import Expressions
from lottoc.lower.program import (
    Criterion,
    Data,
    MaskOf,
    Model,
    Pattern,
    Selection,
    Start,
    Ticket,
    Training,
)
from lottoc.lower.read import Reader
from lottoc.lower.selectors import Selector
from lottoc.masks.pattern import Groups
from lottoc.methods.lab import Duration, Method
from lottoc.signature import Layer

SCOPES = ("global", "layerwise", "uniform", "erk")
PLANNED_PATTERNS = ("fanin", "block", "rows", "channels")
PLANNED_STARTS = ("init",)
_MOST_ROWS = 999_999_999
_AMOUNTS = ("sparsity", "density", "compression")
_FINDING = ("layers", "criterion", "scope", *_AMOUNTS, "pattern", "method")

D = TypeVar("D", Model, Data, Training)
Keys = Mapping[str, syntax.Entry]


@dataclass
class Tickets:
    """Checks tickets one by one; a ticket may be `like` one that stands anywhere in the recipe."""

    reader: Reader
    models: Mapping[str, Model]
    data: Mapping[str, Data]
    trainings: Mapping[str, Training]
    blocks: Mapping[str, syntax.Block]
    expressions: Expressions

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
        for key in _FINDING:
            if key in keys:
                self.reader.findings.error(
                    "unused-key",
                    f'"{key}" has no effect: the mask of "{block.name}" is given',
                    keys[key].key_span,
                    help=f"remove {key}, or the mask",
                )
        start = self._start(keys)
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
        selection = self._selection(block, keys, base, self.models[context[0]], context[2])
        if selection is None or ("weights" in keys and start is None):
            return None
        return Ticket(block.name, *context, block.name_span, found=selection, start=start)

    def _context(
        self, block: syntax.Block, keys: Keys, like: Ticket | None
    ) -> tuple[str, str | None, str | None] | None:
        """The names of the model, data and training that the ticket lives with."""
        model = self._one(block, keys, "model", self.models, like.model if like else None)
        if model is None:
            return None
        if self.models[model].source == "onnx":
            for key in ("data", "training"):
                if key in keys:
                    self.reader.findings.error(
                        "not-trainable",
                        "an ONNX model cannot be trained",
                        Label(keys[key].span),
                        help='take the model from its source: torch("file.py:function")',
                    )
            return model, None, None
        training = self._one(
            block, keys, "training", self.trainings, like.training if like else None, False
        )
        data = self._one(
            block, keys, "data", self.data, like.data if like else None, training is not None
        )
        if training is not None and data is None:
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
            if not isinstance(value, syntax.Name):
                self.reader.mismatch(value, f"the name of a {key}")
            elif value.value in known:
                return value.value
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
        head = self.reader.head(keys["weights"].value, "reinit or signs")
        if head is None:
            return None
        name, arguments = head
        span = keys["weights"].value.span
        if name in PLANNED_STARTS:
            self.reader.not_yet(f"weights = {name}(…)", span)
        elif name not in ("reinit", "signs"):
            self.reader.unknown(name, ("reinit", "signs", *PLANNED_STARTS), "weights", span)
        elif name == "signs":
            return Start("signs")
        else:
            options = self.reader.options(arguments, _Seed, "reinit")
            return None if options is None else Start("reinit", _Seed(**options).seed)
        return None

    def _selection(
        self,
        block: syntax.Block,
        keys: Keys,
        base: Selection | None,
        model: Model,
        training: str | None,
    ) -> Selection | None:
        before = len(self.reader.findings.errors)
        layers = self._layers(block, keys, base, model)
        criterion = self._criterion(keys, base)
        scope = base.scope if base else "global"
        if "scope" in keys:
            scope = self.reader.choice(keys["scope"].value, SCOPES, "scope") or scope
        pattern = self._pattern(keys, base, layers)
        density = self._density(block, keys, base, pattern)
        method = self._method(keys, base, training)
        if len(self.reader.findings.errors) > before or criterion is None or method is None:
            return None
        assert density is not None
        assert pattern is not None
        return Selection(layers, criterion, scope, density, pattern, method[0], method[1])

    def _layers(
        self, block: syntax.Block, keys: Keys, base: Selection | None, model: Model
    ) -> tuple[Layer, ...]:
        if "layers" in keys and model.signature is not None:
            return Selector(self.reader, model.signature).layers(keys["layers"].value)
        if base is None and "layers" not in keys:
            self.reader.findings.error(
                "missing-key",
                f'ticket "{block.name}" needs "layers"',
                Label(block.name_span, "has no layers"),
                help="add  layers = all",
            )
        return base.layers if base else ()

    def _criterion(self, keys: Keys, base: Selection | None) -> Criterion | None:
        if "criterion" not in keys:
            return base.criterion if base else Criterion("magnitude", {})
        value = keys["criterion"].value
        head = self.reader.head(value, "a criterion such as magnitude")
        if head is None:
            return None
        name, arguments = head
        if name in criteria.PLANNED:
            self.reader.not_yet(f'the criterion "{name}"', value.span)
            return None
        if name not in criteria.CRITERIA:
            known = [*criteria.CRITERIA, *criteria.PLANNED]
            self.reader.unknown(name, known, "criterion", value.span)
            return None
        options = self.reader.options(arguments, criteria.criterion_class(name), name)
        return None if options is None else Criterion(name, options)

    def _pattern(
        self, keys: Keys, base: Selection | None, layers: Iterable[Layer]
    ) -> Pattern | None:
        if "pattern" not in keys:
            return base.pattern if base else Pattern()
        value = self.reader.resolve(keys["pattern"].value)
        if isinstance(value, syntax.Ratio):
            return self._n_of_m(value, keys, layers)
        head = self.reader.head(value, "a pattern: unstructured, 2:4 or groups(64)")
        if head is None:
            return None
        if head[0] in PLANNED_PATTERNS:
            self.reader.not_yet(f'the pattern "{head[0]}"', value.span)
        elif head[0] == "groups":
            return self._groups(head[1], value)
        elif head[0] == "unstructured":
            return Pattern()
        else:
            known = ("unstructured", "groups", *PLANNED_PATTERNS)
            self.reader.unknown(head[0], known, "pattern", value.span)
        return None

    def _groups(
        self, arguments: tuple[syntax.Argument, ...], value: syntax.Value
    ) -> Pattern | None:
        options = self.reader.options(arguments, Groups, "groups")
        if options is None:
            return None
        if "least" not in options:
            self.reader.findings.error(
                "missing-argument",
                "groups needs the least number of outputs in a group",
                value.span,
                help="write  groups(64)",
            )
            return None
        if not 1 <= options["least"] <= _MOST_ROWS:
            self.reader.findings.error(
                "out-of-range", f"a group has from 1 to {_MOST_ROWS} outputs", value.span
            )
            return None
        return Pattern(groups=Groups(**options))

    def _n_of_m(self, value: syntax.Ratio, keys: Keys, layers: Iterable[Layer]) -> Pattern | None:
        n, m = value.kept, value.group
        if not 0 < n <= m:
            self.reader.findings.error(
                "nm-ratio", f"{n}:{m} must keep between 1 and {m} of every {m}", value.span
            )
            return None
        if 2 * n != m:
            self.reader.findings.note(
                "nm-reading",
                f"{n}:{m} is read as: {n} of every {m} weights are kept "
                f"(sparsity {float(1 - Fraction(n, m)):.4g})",
                value.span,
                help=f"if {n} of every {m} should be pruned, write {m - n}:{m}" if n < m else (),
            )
        self._check_axis(value, keys, [layer for layer in layers if layer.shape[1] % m])
        return Pattern((n, m))

    def _check_axis(self, value: syntax.Ratio, keys: Keys, misfits: list[Layer]) -> None:
        if not misfits:
            return
        layer, more = misfits[0], len(misfits) - 1
        shape = f"{layer.shape[1]} → {layer.shape[0]}"
        labels = [Label(value.span, "asked for here")]
        selection = "…"
        if "layers" in keys:
            span = keys["layers"].value.span
            selection = span.text
            others = f" and {more} more like it" if more else ""
            labels.insert(0, Label(span, f'selects "{layer.name}" ({shape}){others}'))
        without = " - ".join(f'"{x.name}"' for x in misfits[:3])
        self.reader.findings.error(
            "nm-axis",
            f'pattern {value.kept}:{value.group} does not fit layer "{layer.name}": its input has '
            f"{layer.shape[1]} features, not a multiple of {value.group}",
            *labels,
            help=f"leave it dense with  layers = {selection} - {without}{' - …' * (more > 2)}",
        )

    def _density(
        self, block: syntax.Block, keys: Keys, base: Selection | None, pattern: Pattern | None
    ) -> Fraction | None:
        given = [key for key in _AMOUNTS if key in keys]
        if len(given) > 1:
            self.reader.findings.error(
                "amount-twice",
                f"{given[0]} and {given[1]} both say how much to prune",
                keys[given[0]].span,
                Label(keys[given[1]].span, "said again here"),
                help=f"keep one of them; {given[0]} = 1 - density = 1 - 1/compression"
                if given[0] == "sparsity"
                else "keep one of them",
            )
            return None
        density = self._amount(given[0], keys[given[0]].value) if given else None
        fixed = Fraction(*pattern.n_of_m) if pattern and pattern.n_of_m else None
        if (given and density is None) or pattern is None:
            return None
        if fixed is not None:
            if density is not None and density != fixed:
                self.reader.findings.error(
                    "sparsity-pattern",
                    f"pattern {pattern} fixes the sparsity at {float(1 - fixed):.4g}, "
                    f"not {float(1 - density):.4g}",
                    keys[given[0]].value.span,
                    Label(keys["pattern"].value.span, "fixed by this")
                    if "pattern" in keys
                    else keys[given[0]].value.span,
                    help=f"remove {given[0]}",
                )
            return fixed
        if density is None and base is None:
            self.reader.findings.error(
                "missing-key",
                f'ticket "{block.name}" does not say how much to prune',
                Label(block.name_span, "has no sparsity"),
                help="add  sparsity = 90%, or a pattern that fixes it, e.g.  pattern = 2:4",
            )
        return density if density is not None else (base.density if base else None)

    def _amount(self, key: str, value: syntax.Value) -> Fraction | None:
        if key == "compression":
            ratio = self.reader.fraction(value)
            if ratio is not None and ratio < 1:
                self.reader.findings.error(
                    "out-of-range", "compression is 1 / density: at least 1", value.span
                )
                return None
            return None if ratio is None else 1 / ratio
        share = self.reader.share(value, key)
        return None if share is None else (1 - share if key == "sparsity" else share)

    def _method(
        self, keys: Keys, base: Selection | None, training: str | None
    ) -> tuple[str, Method] | None:
        if "method" not in keys:
            if base is not None:
                return base.method_name, base.method
            return "one_shot", methods.method_class("one_shot")()
        value = keys["method"].value
        head = self.reader.head(value, "a method such as imp(rounds = 10)")
        if head is None:
            return None
        name, arguments = head
        if name in methods.PLANNED:
            self.reader.not_yet(f'the method "{name}"', value.span)
            return None
        if name not in methods.METHODS:
            known = [*methods.METHODS, *methods.PLANNED]
            self.reader.unknown(name, known, "method", value.span)
            return None
        shape = methods.method_class(name)
        if any(a.name == "rewind" and isinstance(a.value, syntax.Attribute) for a in arguments):
            self.reader.not_yet("rewinding to the step that a stability block finds", value.span)
            return None
        options = self.reader.options(arguments, shape, name)
        if options is None or not self._sensible(name, options, value, training):
            return None
        return name, replace(shape(), **options)  # type: ignore[type-var]

    def _sensible(
        self, name: str, options: Mapping[str, Any], value: syntax.Value, training: str | None
    ) -> bool:
        findings = self.reader.findings
        if name == "imp" and training is None:
            findings.error(
                "needs-training",
                "imp trains the model again and again, and the recipe has no training",
                value.span,
                help="add a training block and a data block, or use  method = one_shot",
            )
            return False
        if options.get("rounds", 1) < 1:
            findings.error("out-of-range", "rounds must be at least 1", value.span)
            return False
        rewind: Duration | None = options.get("rewind")
        if rewind is None or training is None:
            return True
        length = self.trainings[training].length
        if rewind.unit == length.unit and rewind.amount >= length.amount:
            findings.error(
                "rewind-past-end",
                f"rewinding to {rewind} leaves nothing to train: the training has {length}",
                value.span,
                Label(self.trainings[training].span, "this training"),
                help="rewind to an early step, e.g. rewind = 0 steps",
            )
            return False
        return True


@dataclass(frozen=True)
class _Seed:
    seed: int = 1
