"""The models that ranks and searches find: what `shapes.best` stands for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from lottoc.diagnostics import InputError
from lottoc.grammar import syntax
from lottoc.lower.program import Data, Model, Rank, Search
from lottoc.lower.read import Reader
from lottoc.lower.sources import Catalog


@dataclass
class Winners:
    """The models that ranks and searches find, each found when it is first asked for."""

    reader: Reader
    catalog: Catalog
    declared: Collection[str]
    """The names of all ranks and searches, those with an error too."""
    ranks: Mapping[str, Rank]
    searches: Mapping[str, Search]
    models: Mapping[str, Model]
    data: Mapping[str, Data]
    known: dict[str, str] = field(default_factory=dict)

    @property
    def stand_ins(self) -> set[str]:
        """The models that ranks and searches have found, or candidates that stand in for them."""
        return {*self.known.values(), *(search.best for search in self.searches.values())}

    def of(self, value: syntax.Value) -> str | None:
        """The model that `shapes.best` stands for; None after an error."""
        reader = self.reader
        match value:
            case syntax.Attribute(base=syntax.Name(value=block), name="best"):
                pass
            case _:
                help = "for example  model = shapes.best"
                reader.mismatch(value, "the name of a model", help=help)
                return None
        if block in self.searches:
            return self.searches[block].best
        if block in self.ranks:
            return self._best(self.ranks[block], value)
        if block not in self.declared:
            known = [*self.ranks, *self.searches]
            reader.unknown(block, known, "rank or search", value.base.span)
        return None

    def _best(self, rank: Rank, value: syntax.Value) -> str | None:
        if rank.name not in self.known:
            try:
                best = self.catalog.best(rank, self.models, self.data[rank.data])
            except InputError as error:
                self.reader.findings.absorb(error, value.span)
                return None
            self.known[rank.name] = best
        return self.known[rank.name]
