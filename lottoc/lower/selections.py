"""Checking how a ticket is found: what is pruned, by what measure, how far, by which method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from lottoc import criteria, methods
from lottoc.diagnostics import Label
from lottoc.grammar import syntax
from lottoc.lower.criterion import check_needs, read_criterion
from lottoc.lower.patterns import read_pattern
from lottoc.lower.program import Criterion, Model, Selection, Training
from lottoc.lower.read import Reader
from lottoc.lower.selectors import Selector
from lottoc.masks.allocate import BY_SCORES
from lottoc.masks.patterns import Pattern, parse
from lottoc.methods.lab import Duration, FoundStep, Method
from lottoc.signature import Layer

SCOPES = ("global", "layerwise", "uniform", "erk", *BY_SCORES)
_AMOUNTS = ("sparsity", "density", "compression")
FINDING = ("layers", "criterion", "scope", *_AMOUNTS, "pattern", "method")
"""The keys that say how a ticket is found."""

NOWHERE = FoundStep("")
"""Stands for a step that a recipe names wrongly."""

Keys = Mapping[str, syntax.Entry]


def _default_scope(criterion: Criterion | None, method: Method | None) -> str:
    solver = criterion is not None and criterion.name in criteria.SOLVERS
    return "uniform" if solver else getattr(method, "usual_scope", "global")


def _default_pattern(criterion: Criterion | None, keys: Keys) -> Pattern | None:
    """That of the criterion's paper, unless the ticket says how the count is spread."""
    if criterion is None or "scope" in keys:
        return None
    usual = getattr(criteria.options_class(criterion.name), "pattern", None)
    return None if usual is None else parse(usual)


@dataclass
class Selections:
    """Reads what tickets of one model say of how they are found."""

    reader: Reader
    model: Model
    trainings: Mapping[str, Training]
    stabilities: Mapping[str, syntax.Block]

    def selection(
        self,
        block: syntax.Block,
        keys: Keys,
        base: Selection | None,
        data: str | None,
        training: str | None,
    ) -> Selection | None:
        """What a block says, and where it is silent, `base`; None after an error."""
        before = len(self.reader.findings.errors)
        layers = self._layers(block, keys, base)
        method = self._method(keys, base, training)
        criterion = read_criterion(self.reader, keys, _inherited(base, method))
        scope = _default_scope(criterion, method[1] if method else None)
        if base is not None and base.scope != _default_scope(base.criterion, base.method):
            scope = base.scope  # said there, and not what its own method takes
        if "scope" in keys:
            scope = self.reader.choice(keys["scope"].value, SCOPES, "scope") or scope
        usual = base.pattern if base else _default_pattern(criterion, keys)
        pattern = read_pattern(self.reader, keys, usual, layers)
        if method is not None and getattr(method[1], "chooses_amount", False):
            density = self._no_amount(keys, method[0])
        elif method is None and not set(_AMOUNTS) & set(keys):
            density = None  # the method that was meant may not want one
        else:
            density = self._density(block, keys, base, pattern)
        if criterion is not None and criterion.name in criteria.SOLVERS:
            self._check_solver(block, keys, criterion.name, scope)
            self._check_solver_pattern(keys, criterion.name, pattern)
        if criterion is not None:
            check_needs(self.reader, block, criterion, self.model, data, layers)
        if method is not None and method[0] not in ("one_shot", "imp") and scope in BY_SCORES:
            place = next(k for k in ("scope", "method", "like") if k in keys)
            self.reader.findings.error(
                "method-unsuited",
                f"{method[0]} does not work with scope {scope}",
                keys[place].value.span,
                help="write  scope = global, layerwise, uniform or erk",
            )
        if method is not None and pattern is not None:
            self._suited(method, pattern, criterion, keys)
        if len(self.reader.findings.errors) > before or criterion is None or method is None:
            return None
        assert density is not None
        assert pattern is not None
        return Selection(layers, criterion, scope, density, pattern, method[0], method[1])

    def _check_solver(
        self,
        block: syntax.Block,
        keys: Keys,
        name: str,
        scope: str,
    ) -> None:
        """A criterion that changes weights goes through the network once, layer after layer."""
        place = keys["criterion"].value.span if "criterion" in keys else block.name_span
        if scope in ("global", *BY_SCORES):
            self.reader.findings.error(
                "scope-criterion",
                f"{name} prunes layer after layer: counts that all of them decide come too late",
                Label(keys["scope"].value.span if "scope" in keys else place),
                help="write  scope = uniform, layerwise or erk",
            )

    def _check_solver_pattern(self, keys: Keys, name: str, pattern: Pattern | None) -> None:
        if pattern is not None and pattern.name == "permuted":
            place = next(k for k in ("pattern", "like") if k in keys)
            self.reader.findings.error(
                "method-unsuited",
                f"{name} does not work with pattern {pattern}",
                keys[place].value.span,
                help="write  pattern = N:M, without an order of channels",
            )

    def _layers(self, block: syntax.Block, keys: Keys, base: Selection | None) -> tuple[Layer, ...]:
        if "layers" in keys and self.model.signature is not None:
            return Selector(self.reader, self.model.signature).layers(keys["layers"].value)
        if base is None and "layers" not in keys:
            self.reader.findings.error(
                "missing-key",
                f'ticket "{block.name}" needs "layers"',
                Label(block.name_span, "has no layers"),
                help="add  layers = all",
            )
        return base.layers if base else ()

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
        if (given and density is None) or pattern is None:
            return None
        fixed = pattern.density
        if fixed is not None:
            if density is not None and density != fixed:
                self.reader.findings.error(
                    "sparsity-pattern",
                    f"pattern {pattern} fixes the sparsity at {float(1 - fixed):.4g}, "
                    f"not {float(1 - density):.4g}",
                    keys[given[0]].value.span,
                    Label(
                        keys["pattern" if "pattern" in keys else "like"].value.span, "fixed by this"
                    ),
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

    def _no_amount(self, keys: Keys, method: str) -> Fraction:
        """A method that finds itself how much to prune is not told."""
        for key in _AMOUNTS:
            if key in keys:
                self.reader.findings.error(
                    "unused-key",
                    f'"{key}" has no effect: {method} finds how much to prune',
                    keys[key].key_span,
                    help=f"remove {key}",
                )
        return Fraction(1)

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
        if name not in methods.METHODS:
            self.reader.unknown(name, methods.METHODS, "method", value.span)
            return None
        shape = methods.method_class(name)
        found, arguments = self._found_step(arguments)
        options = self.reader.options(arguments, shape, name)
        if options is not None and found is not None:
            options["rewind"] = found
        if (
            options is None
            or found == NOWHERE
            or not self._sensible(name, options, value, training)
        ):
            return None
        try:
            return name, replace(shape(), **options)  # type: ignore[type-var]
        except ValueError as error:
            self.reader.findings.error("out-of-range", str(error), value.span)
            return None

    def _found_step(
        self, arguments: tuple[syntax.Argument, ...]
    ) -> tuple[FoundStep | None, tuple[syntax.Argument, ...]]:
        """`rewind = basin.step`, and the other arguments; `NOWHERE` after an error."""
        for argument in arguments:
            if argument.name != "rewind":
                continue
            match self.reader.resolve(argument.value):
                case syntax.Name(value=name) as value if name in self.stabilities:
                    help = f"write  rewind = {name}.step"
                    self.reader.mismatch(value, "a length of training", help=help)
                    return NOWHERE, tuple(other for other in arguments if other is not argument)
                case syntax.Attribute(base=syntax.Name() as block, name=word) as value:
                    rest = tuple(other for other in arguments if other is not argument)
                    if block.value not in self.stabilities:
                        known = self.stabilities
                        self.reader.unknown(block.value, known, "stability block", block.span)
                    elif word != "step":
                        self.reader.unknown(
                            word, ("step",), "property of a stability block", value.name_span
                        )
                    else:
                        return FoundStep(block.value), rest
                    return NOWHERE, rest
        return None, arguments

    def _suited(
        self,
        method: tuple[str, Method],
        pattern: Pattern,
        criterion: Criterion | None,
        keys: Keys,
    ) -> None:
        """A method may keep to some patterns only, or always rank by the same criterion."""
        unfit = methods.unsuited(method[1], pattern.name, criterion.name if criterion else None)
        if unfit is not None:
            place = next(key for key in (unfit.key, "method", "like") if key in keys)
            labels = []
            if unfit.key == "pattern" and "pattern" not in keys and "criterion" in keys:
                usual = f"under pattern {pattern} unless said"
                labels = [Label(keys["criterion"].value.span, usual)]
            self.reader.findings.error(
                "method-unsuited",
                f"{method[0]} {unfit.message}",
                keys[place].value.span,
                *labels,
                help=unfit.help,
            )

    def _sensible(
        self, name: str, options: Mapping[str, Any], value: syntax.Value, training: str | None
    ) -> bool:
        findings = self.reader.findings
        if getattr(methods.method_class(name), "trains", False) and training is None:
            findings.error(
                "needs-training",
                f"{name} trains the model, and the recipe has no training",
                value.span,
                help="add a training block and a data block, or use  method = one_shot",
            )
            return False
        if options.get("rounds", 1) < 1:
            findings.error("out-of-range", "rounds must be at least 1", value.span)
            return False
        calibrate: Duration | None = options.get("calibrate")
        if calibrate is not None and training is not None:
            length = self.trainings[training].length
            if calibrate.unit == length.unit and calibrate.amount > length.amount:
                findings.error(
                    "out-of-range",
                    f"calibrate is {calibrate}, and the training has {length}",
                    value.span,
                    Label(self.trainings[training].span, "this training"),
                    help="its schedule ends there; calibrate no longer than it trains",
                )
                return False
        rewind: Duration | FoundStep | None = options.get("rewind")
        if not isinstance(rewind, Duration) or training is None:
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


def _inherited(base: Selection | None, method: tuple[str, Method] | None) -> Criterion:
    """What `base` names; where it names none, what the method usually scores by."""
    if base is not None and base.criterion != _usual(base.method):
        return base.criterion
    return _usual(method[1] if method else None)


def _usual(method: Method | None) -> Criterion:
    return Criterion(getattr(method, "first_criterion", "magnitude"), {})
