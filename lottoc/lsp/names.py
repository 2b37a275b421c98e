"""Who is called what: the names a recipe defines, and every place that uses one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from lottoc.diagnostics import Span
from lottoc.grammar import syntax
from lottoc.grammar.tokens import tokens

_DEFINED = frozenset(
    ["model", "data", "training", "ticket", "stability", "sanity", "split", "rank", "search"]
)
_MASKS = frozenset({"ticket", "mask", "param"})
_ANY = _DEFINED | _MASKS
_BY_KEY: Mapping[str, Set[str]] = {
    "model": {"model"},
    "data": {"data"},
    "training": {"training"},
    "like": {"ticket"},
    "ticket": {"ticket"},
    "tickets": {"ticket"},
    "models": {"model"},
    "mask": _MASKS,
    "exclude": _MASKS,
}
_ELSEWHERE = frozenset({"param"})

Definer = syntax.Block | syntax.Param | syntax.MaskDefinition


@dataclass(frozen=True)
class Definition:
    """A name, what kind of thing it is, and the item that defines it."""

    name: str
    kind: str
    span: Span
    item: Definer


@dataclass(frozen=True)
class Use:
    """A place that means a definition; `entry` is the entry it stands in, if any."""

    name: str
    span: Span
    item: syntax.Item
    entry: syntax.Entry | None


@dataclass(frozen=True)
class Names:
    """The names of a recipe. Two things of one name are an error; the first one is meant."""

    definitions: Mapping[str, Definition]
    repeated: Set[str]
    uses: tuple[Use, ...]

    def of(self, name: str) -> list[Use]:
        """The uses of a name, in the order of the text."""
        return [use for use in self.uses if use.name == name]

    def places(self, name: str) -> list[Span]:
        """Where a name is defined and used, in the order of the text."""
        spans = [self.definitions[name].span, *(use.span for use in self.of(name))]
        return sorted(spans, key=lambda span: span.start)

    def at(self, offset: int) -> tuple[Definition, Span] | None:
        """The definition meant at an offset, and the word that names it there."""
        for definition in self.definitions.values():
            if _touches(definition.span, offset):
                return definition, definition.span
        for use in self.uses:
            if _touches(use.span, offset):
                return self.definitions[use.name], use.span
        return None


def names(recipe: syntax.Recipe) -> Names:
    """Find all definitions and uses."""
    definitions: dict[str, Definition] = {}
    repeated = set()
    for item in recipe.items:
        definition = _definition(item)
        if definition and definition.name in definitions:
            repeated.add(definition.name)
        elif definition:
            definitions[definition.name] = definition
    uses = tuple(use for item in recipe.items for use in _uses(item, definitions))
    return Names(definitions, repeated, uses)


def _definition(item: syntax.Item) -> Definition | None:
    match item:
        case syntax.Param():
            return Definition(item.name, "param", item.name_span, item)
        case syntax.MaskDefinition():
            return Definition(item.name, "mask", item.name_span, item)
        case syntax.Block(kind=kind) if kind in _DEFINED:
            return Definition(item.name, kind, item.name_span, item)
    return None


def _uses(item: syntax.Item, known: Mapping[str, Definition]) -> Iterator[Use]:
    for value, entry in _values(item):
        kinds = _BY_KEY.get(entry.key, _ELSEWHERE) if entry else _ANY
        for name, span in _named(value, kinds, known):
            yield Use(name, span, item, entry)


def _values(item: syntax.Item) -> Iterator[tuple[syntax.Value, syntax.Entry | None]]:
    match item:
        case syntax.Block():
            yield from ((entry.value, entry) for entry in item.entries)
        case syntax.MaskDefinition():
            yield item.value, None
        case syntax.Require():
            yield item.left, None
            yield item.right, None
        case _:  # a param is a plain value, an import a path
            return


def _named(
    node: syntax.Node, kinds: Set[str], known: Mapping[str, Definition]
) -> Iterator[tuple[str, Span]]:
    """Names in a value that mean a definition of one of the kinds."""
    match node:
        case syntax.Name(value=name):
            if name in known and known[name].kind in kinds:
                yield name, _word(node)
        case syntax.Attribute(base=base):
            yield from _named(base, _ANY, known)
        case syntax.Call(function=function, arguments=arguments):
            if isinstance(function, syntax.Attribute):
                yield from _named(function, kinds, known)
            inside = kinds if kinds & {"ticket"} else _ELSEWHERE
            for argument in arguments:
                yield from _named(argument.value, inside, known)
        case _:
            for child in syntax.children(node):
                yield from _named(child, kinds, known)


def _word(name: syntax.Name) -> Span:
    """The name without the brackets that may stand around it."""
    span = name.span
    for token in tokens(span.source.text, span.start, span.end):
        if token.kind == "name":
            return Span(span.source, token.start, token.end)
    return span


def _touches(span: Span, offset: int) -> bool:
    return span.start <= offset <= span.end
