"""Layer selections: `all`, `linear - "fc3"`, `conv | "head.*"`, `first`, `size(>= 4096)`."""

from __future__ import annotations

import operator
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial

from lottoc.diagnostics import Label, did_you_mean
from lottoc.grammar import syntax
from lottoc.lower.read import Reader
from lottoc.signature import KINDS_CALLED, Layer, LayerKind, Signature


def _of_kinds(kinds: Container[LayerKind], signature: Signature) -> Iterable[Layer]:
    return (layer for layer in signature if layer.kind in kinds)


_WORDS: dict[str, Callable[[Signature], Iterable[Layer]]] = {
    "all": lambda signature: signature.layers,
    **{word: partial(_of_kinds, kinds) for word, kinds in KINDS_CALLED.items()},
    "first": lambda signature: signature.layers[:1],
    "last": lambda signature: signature.layers[-1:],
}
_SETS = {"|": operator.or_, "&": operator.and_, "-": operator.sub}
_COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


@dataclass
class Selector:
    """Evaluates one selection over one signature."""

    reader: Reader
    signature: Signature

    def layers(self, value: syntax.Value) -> tuple[Layer, ...]:
        """The selected layers in network order; an empty selection is an error."""
        before = len(self.reader.findings.errors)
        names = self._set(value)
        if not names and len(self.reader.findings.errors) == before:
            self.reader.findings.error(
                "selects-nothing",
                "no layer is selected",
                Label(value.span, "matches none of the model's layers"),
                help=self._what_there_is(),
            )
        return tuple(layer for layer in self.signature if layer.name in names)

    def _set(self, value: syntax.Value) -> frozenset[str]:
        value = self.reader.resolve(value)
        match value:
            case syntax.Name(value=word) if word in _WORDS:
                return frozenset(layer.name for layer in _WORDS[word](self.signature))
            case syntax.Name(value=word):
                self.reader.unknown(word, [*_WORDS, "size"], "layer selection", value.span)
            case syntax.String():
                return self._glob(value)
            case syntax.ListValue(items=items):
                return frozenset().union(*(self._set(item) for item in items))
            case syntax.Binary(operator=sign, left=left, right=right) if sign in _SETS:
                return frozenset(_SETS[sign](self._set(left), self._set(right)))
            case syntax.Call(function=syntax.Name(value="size"), arguments=(argument,)):
                return self._size(argument.value)
            case _:
                self.reader.mismatch(
                    value, "a selection of layers", help='for example  layers = linear - "head"'
                )
        return frozenset()

    def _glob(self, value: syntax.String) -> frozenset[str]:
        names = [layer.name for layer in self.signature]
        found = frozenset(name for name in names if fnmatchcase(name, value.value))
        if not found:
            self.reader.findings.error(
                "selects-nothing",
                f'no layer is called "{value.value}"',
                Label(value.span, "matches none of the model's layers"),
                help=did_you_mean(value.value, names) if len(names) <= 12 else self._near(value),
            )
        return found

    def _near(self, value: syntax.String) -> tuple[str, ...]:
        near = did_you_mean(value.value, [layer.name for layer in self.signature])
        return near if near[0].startswith("did you") else self._what_there_is()

    def _size(self, bound: syntax.Value) -> frozenset[str]:
        if isinstance(bound, syntax.Bound) and bound.operator in _COMPARE:
            limit = self.reader.fraction(bound.value)
            if limit is not None:
                compare = _COMPARE[bound.operator]
                return frozenset(x.name for x in self.signature if compare(x.size, limit))
        else:
            help = f"write  size(>= {bound.span.text})" if isinstance(bound, syntax.Number) else ()
            self.reader.mismatch(bound, "a bound such as >= 4096", help=help)
        return frozenset()

    def _what_there_is(self) -> tuple[str, ...]:
        if not self.signature.layers:
            return ("this model has no layer that lottoc can prune",)
        shown = [f"{x.name} ({x.kind})" for x in self.signature.layers[:8]]
        more = len(self.signature.layers) - len(shown)
        tail = f" and {more} more" if more > 0 else ""
        return (f"the model's layers: {', '.join(shown)}{tail}",)
