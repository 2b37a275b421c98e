"""`exclude = task.mask`: sparse fine-tunings one after another, no weight in two of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from lottoc.diagnostics import Span
from lottoc.grammar import syntax
from lottoc.lower.expressions import Expressions
from lottoc.lower.program import MaskBinary, MaskExpression, MaskOf, Selection, Ticket, adapting
from lottoc.lower.read import Reader
from lottoc.masks.allocate import pruned_count

Keys = Mapping[str, syntax.Entry]


@dataclass(frozen=True)
class Exclusions:
    """Reads what a ticket excludes; `ticket` gives others by name, `open` those being read."""

    reader: Reader
    expressions: Expressions
    ticket: Callable[[str], Ticket | None]
    open: list[str]

    def read(
        self, block: syntax.Block, keys: Keys, like: Ticket | None, found: Selection, model: str
    ) -> tuple[str, ...] | None:
        """The tickets that come before this one, the first one first; None after an error."""
        if "exclude" not in keys:
            return like.exclude if like is not None else ()
        entry = keys["exclude"]
        if not getattr(found.method, "adapts", False):
            self._error(
                entry.key_span,
                f"{found.method_name} prunes, and has nothing to exclude",
                "it goes with  method = lota",
            )
            return None
        if "weights" in keys:
            self._error(
                keys["weights"].span,
                f'"{block.name}" begins with what it excludes applied, not with other weights',
                "remove weights, or exclude",
            )
            return None
        mask = self.expressions.mask(entry.value)
        if mask is None:
            return None
        chain = self._chain(mask, entry, found, model)
        return chain if chain is None or self._room(chain, entry, found) else None

    def _chain(
        self, mask: MaskExpression, entry: syntax.Entry, found: Selection, model: str
    ) -> tuple[str, ...] | None:
        names = list(_union(mask))
        if None in names:
            help = "for example  first.mask  or  first.mask | second.mask"
            self._error(entry.value.span, "only tickets' masks, joined by |, can be excluded", help)
            return None
        chain: dict[str, Ticket] = {}
        for name in filter(None, names):
            other = self._other(name, entry, found, model)
            if other is None:
                return None
            for earlier in (*other.exclude, name):
                known = self.ticket(earlier)
                assert known is not None
                chain[earlier] = known
        for one, other in combinations(chain.values(), 2):
            if one.name not in other.exclude and other.name not in one.exclude:
                self._error(
                    entry.value.span,
                    f'"{one.name}" and "{other.name}" may move the same weights',
                    f"let one of them exclude the other, as  exclude = {one.name}.mask",
                )
                return None
        return tuple(sorted(chain, key=lambda name: len(chain[name].exclude)))

    def _other(self, name: str, entry: syntax.Entry, found: Selection, model: str) -> Ticket | None:
        if name in self.open:
            message = f'ticket "{name}" excludes itself, directly or by others'
            self.reader.findings.error("cyclic-ticket", message, entry.value.span)
            return None
        other = self.ticket(name)
        if other is None:
            return None
        wrong = ""
        if other.found is None or not adapting(other, {name: other}):
            wrong, help = "is not found by lota", "exclude tickets with  method = lota"
        elif other.model != model:
            wrong, help = f'is of model "{other.model}"', f'exclude tickets of "{model}"'
        elif other.start is not None:
            wrong, help = "begins with weights of its own", f"remove weights from {name}"
        elif {x.name for x in other.found.layers} != {x.name for x in found.layers}:
            wrong, help = "is of other layers", f"say the same layers, as with  like = {name}"
        if wrong:
            self._error(entry.value.span, f'"{name}" cannot be excluded: it {wrong}', help)
            return None
        return other

    def _room(self, chain: tuple[str, ...], entry: syntax.Entry, found: Selection) -> bool:
        """Whether there are as many weights as all of them want to move."""
        size = sum(layer.size for layer in found.layers)
        tickets = [self.ticket(name) for name in chain]
        shares = [t.found.density for t in tickets if t is not None and t.found is not None]
        counts = [size - pruned_count(size, 1 - share) for share in (*shares, found.density)]
        if sum(counts) <= size:
            return True
        self._error(
            entry.value.span,
            f"together they want to move {sum(counts)} weights, and there are {size}",
            "raise the sparsity of one of them",
        )
        return False

    def _error(self, span: Span, message: str, help: str) -> None:
        self.reader.findings.error("exclude-unsuited", message, span, help=help)


def _union(mask: MaskExpression) -> Iterator[str | None]:
    """The tickets of a union of masks, and None for anything else in it."""
    match mask:
        case MaskOf(ticket=name):
            yield name
        case MaskBinary(operator="|", left=left, right=right):
            yield from _union(left)
            yield from _union(right)
        case _:
            yield None
