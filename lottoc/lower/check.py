"""The type checker: a syntax tree in, a `Program` out, and every mistake in one run."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lottoc.diagnostics import Findings, InputError, Label, Span
from lottoc.grammar import syntax
from lottoc.lower.blocks import SHAPES, known_blocks
from lottoc.lower.emits import check_emit
from lottoc.lower.expressions import Expressions, made_from_themselves
from lottoc.lower.flops import hindrance
from lottoc.lower.imports import bring_in, used
from lottoc.lower.program import (
    SOURCES,
    Data,
    Emit,
    Model,
    Program,
    Requirement,
    Sanity,
    Search,
    Split,
    Ticket,
    Training,
    tickets_of,
)
from lottoc.lower.ranks import check_rank
from lottoc.lower.read import Reader
from lottoc.lower.sanity import check_sanity
from lottoc.lower.searches import check_search
from lottoc.lower.sources import Catalog, check_data, check_model, check_training
from lottoc.lower.split_blocks import Partition, check_split, read_partition
from lottoc.lower.stability import check_stability
from lottoc.lower.tickets import Tickets
from lottoc.lower.warnings import warn
from lottoc.lower.winners import Winners


def check(
    recipe: syntax.Recipe,
    folder: Path,
    catalog: Catalog,
    defines: Mapping[str, syntax.Value],
    findings: Findings,
) -> Program | None:
    """Check a recipe whose paths are relative to `folder`; None if there are errors.

    `defines` are the `-D` values. Errors, warnings and notes are added to `findings`.
    """
    return _Checker(recipe, folder, catalog, defines, findings).program()


def survey(recipe: syntax.Recipe, folder: Path, catalog: Catalog, findings: Findings) -> Program:
    """What can be said of a recipe whatever is wrong with it, for an editor to show.

    Holds only what was read without an error; `findings` receives what `check` would report.
    """
    return _Checker(recipe, folder, catalog, {}, findings).everything()


@dataclass(frozen=True)
class _Found:
    """What hangs on models, data sets and trainings."""

    tickets: dict[str, Ticket]
    requirements: tuple[Requirement, ...] = ()
    emits: tuple[Emit, ...] = ()
    sanities: tuple[Sanity, ...] = ()
    splits: tuple[Split, ...] = ()
    parts: Mapping[str, Data] = field(default_factory=dict)
    """The parts of data that split blocks make."""


class _Checker:
    def __init__(
        self,
        recipe: syntax.Recipe,
        folder: Path,
        catalog: Catalog,
        defines: Mapping[str, syntax.Value],
        findings: Findings,
    ) -> None:
        self.recipe, self.folder, self.catalog = recipe, folder, catalog
        self.findings = findings
        self.imported = bring_in(recipe, folder, findings)
        self.items = used(self.imported)
        self.blocks: dict[str, dict[str, syntax.Block]] = {}
        self.masks: dict[str, syntax.Value] = {}
        self.reader = Reader(findings, self._params(defines))

    def program(self) -> Program | None:
        program = self.everything()
        return None if self.findings.errors or self.findings.inputs else program

    def everything(self) -> Program:
        self._sort_items()
        models = self._each("model", self._model)
        data = self._each("data", lambda b: check_data(self.reader, b, self._folder(b)))
        trainings = self._each("training", lambda b: check_training(self.reader, b))
        stabilities = self._each(
            "stability", lambda b: check_stability(self.reader, b, models, data, trainings)
        )
        ranks = self._each("rank", lambda b: check_rank(self.reader, b, models, data))
        searches = self._searches(data, trainings)
        tried = {model.name: model for s in searches.values() for model in s.tried}
        contests = {*self.blocks.get("rank", {}), *self.blocks.get("search", {})}
        winners = Winners(self.reader, self.catalog, contests, ranks, searches, models, data)
        found = self._tickets(models, tried, data, trainings, winners)
        unknown = tuple(m.name for m in models.values() if m.signature is None)
        program = Program(
            {**models, **tried},
            {**data, **found.parts},
            trainings,
            found.tickets,
            found.requirements,
            found.emits,
            found.sanities,
            found.splits,
            tuple(ranks.values()),
            tuple(searches.values()),
            unknown,
            self.imported.sources,
            stabilities,
        )
        if not self.findings.errors and not self.findings.inputs:
            # what hangs on a broken block went unread, params and all, so this comes last
            warn(self.items, program, self.reader.used_params, self.findings)
        return program

    def _params(self, defines: Mapping[str, syntax.Value]) -> dict[str, syntax.Value]:
        params = [item for item in self.items if isinstance(item, syntax.Param)]
        values = {param.name: param.value for param in params}
        for name, value in defines.items():
            if name not in values:
                close = difflib.get_close_matches(name, values, n=1)
                help = f'did you mean "{close[0]}"?' if close else f"add  param {name} = …"
                self.findings.error(
                    "unknown-param", f'the recipe has no param "{name}"', value.span, help=help
                )
            values[name] = value
        return values

    def _sort_items(self) -> None:
        first: dict[str, syntax.Block | syntax.Param | syntax.MaskDefinition] = {}
        for item in self.items:
            match item:
                case syntax.Param() | syntax.MaskDefinition():
                    self._unique(item, first)
                    if isinstance(item, syntax.MaskDefinition):
                        self.masks[item.name] = item.value
                case syntax.Block():
                    self._sort_block(item, first)
                case _:
                    pass

    def _sort_block(self, block: syntax.Block, first: dict[str, Any]) -> None:
        if block.kind not in SHAPES:
            self.reader.unknown(block.kind, known_blocks(), "block", block.kind_span)
        elif block.kind == "emit":
            self.blocks.setdefault("emit", {})[str(len(self.blocks.get("emit", {})))] = block
        else:
            unique = self._unique(block, first)
            if unique or block.name != "dense":  # what names it is no mistake beside this one
                self.blocks.setdefault(block.kind, {}).setdefault(block.name, block)

    def _unique(self, item: Any, first: dict[str, Any]) -> bool:
        if item.name == "dense" or item.name in first:
            earlier = first.get(item.name)
            self.findings.error(
                "duplicate-name",
                f'the name "{item.name}" is taken'
                + ("" if earlier else ": it is the unpruned model"),
                Label(item.name_span, "named again here" if earlier else ""),
                *([Label(earlier.name_span, "first named here")] if earlier else []),
                help="choose another name",
            )
            return False
        first[item.name] = item
        return True

    def _each(self, kind: str, read: Any) -> dict[str, Any]:
        found = {name: read(block) for name, block in self.blocks.get(kind, {}).items()}
        return {name: value for name, value in found.items() if value is not None}

    def _model(self, block: syntax.Block) -> Model | None:
        return check_model(self.reader, block, self._folder(block), self.catalog)

    def _folder(self, block: syntax.Block) -> Path:
        """What the paths in a block are relative to: the folder of its own file."""
        return self.imported.folders.get(block.span.source, self.folder)

    def _searches(
        self, data: Mapping[str, Data], trainings: Mapping[str, Training]
    ) -> dict[str, Search]:
        """The search blocks with the models that were trained for them."""

        def explored(block: syntax.Block) -> Search | None:
            search = check_search(self.reader, block, self._folder(block), data, trainings)
            if search is None:
                return None
            try:
                return self.catalog.explore(search, data[search.data], trainings[search.training])
            except InputError as error:
                self.findings.absorb(error, _place_of(error, block))
                return None

        return self._each("search", explored)

    def _tickets(
        self,
        written: Mapping[str, Model],
        tried: Mapping[str, Model],
        data: Mapping[str, Data],
        trainings: Mapping[str, Training],
        winners: Winners,
    ) -> _Found:
        models = {**written, **tried}
        blocks = self.blocks.get("ticket", {})
        dense = self._dense(written, data, trainings)
        found: dict[str, Ticket] = {"dense": dense} if dense else {}
        if any(
            len(self.blocks.get(k, {})) > len(v)
            for k, v in (("model", written), ("data", data), ("training", trainings))
        ):
            return _Found(found)  # what hangs on a broken block would only repeat its error
        partitions = [read_partition(self.reader, b) for b in self.blocks.get("split", {}).values()]
        names = {*blocks, *found, *(name for p in partitions for name in p.names)}
        stabilities = self.blocks.get("stability", {})
        expressions = Expressions(self.reader, names, self.masks, stabilities.keys())
        tickets = Tickets(
            self.reader, models, written, data, trainings, blocks, expressions, winners.of, dense
        )
        tickets.stabilities = stabilities
        tickets.contests = winners.declared
        for name in blocks:
            ticket = tickets.ticket(name)
            if ticket is not None:
                found[name] = ticket
        for ticket in made_from_themselves(found):
            message = f'the mask of "{ticket.name}" is made from itself'
            self.findings.error("cyclic-ticket", message, ticket.span)
        splits, parts = self._splits(partitions, found, models, data)
        self._same_models(found, winners)
        data = {**data, **parts}
        sanities = self._sanities(found, data)
        expressions.sanities = dict.fromkeys(self.blocks.get("sanity", {}))
        expressions.sanities |= {sanity.name: sanity for sanity in sanities}
        expressions.evaluated = lambda name, metric: (
            name not in found
            or (
                metric in SOURCES[models[found[name].model].source]
                and self._has_test(found[name], data)
            )
        )
        expressions.source = lambda name: models[found[name].model].source
        expressions.uncounted = lambda name: (
            hindrance(found[name], models[found[name].model], data, self.catalog)
            if name in found
            else ""
        )
        requirements = tuple(
            r
            for i in self.items
            if isinstance(i, syntax.Require) and (r := self._require(i, expressions))
        )
        emits = tuple(
            e
            for b in self.blocks.get("emit", {}).values()
            if (
                e := check_emit(
                    self.reader, b, self._folder(b), names, found, models, data, winners.of
                )
            )
        )
        self._same_paths(emits)
        return _Found(found, requirements, emits, sanities, splits, parts)

    def _splits(
        self,
        partitions: Sequence[Partition],
        found: dict[str, Ticket],
        models: Mapping[str, Model],
        data: Mapping[str, Data],
    ) -> tuple[tuple[Split, ...], dict[str, Data]]:
        """The split blocks and their parts; their tickets are added to those found."""
        splits: list[Split] = []
        parts: dict[str, Data] = {}
        originals = self._with_broken(found)
        for partition in partitions:
            checked = check_split(self.reader, partition, originals, models, data)
            if checked is not None:
                splits.append(checked.split)
                found |= checked.tickets
                parts |= checked.data
        return tuple(splits), parts

    def _sanities(self, found: dict[str, Ticket], data: Mapping[str, Data]) -> tuple[Sanity, ...]:
        """The sanity blocks; the tickets of their controls are added to those found."""
        sanities = []
        originals = self._with_broken(found)
        for block in self.blocks.get("sanity", {}).values():
            checked = check_sanity(self.reader, block, originals, data)
            if checked is not None:
                sanities.append(checked[0])
                found |= checked[1]
        return tuple(sanities)

    def _same_models(self, found: Mapping[str, Ticket], winners: Winners) -> None:
        """A mask is of the model whose weights it is for; of one to be found that is open."""
        open_ = set() if getattr(self.catalog, "settles", True) else winners.stand_ins
        for ticket in found.values():
            for name in tickets_of(ticket.mask):
                other = found.get(name, ticket).model
                if other != ticket.model and not open_ & {other, ticket.model}:
                    self.findings.error(
                        "mask-model",
                        f'the mask of "{name}" is of model "{other}", and ticket "{ticket.name}" '
                        f'of "{ticket.model}"',
                        Label(ticket.span),
                        Label(found[name].span, "this ticket"),
                        help=f"write  model = {other}, or make the mask from another ticket",
                    )

    def _with_broken(self, found: Mapping[str, Ticket]) -> dict[str, Ticket | None]:
        """The tickets by name; None for those with an error."""
        return {**dict.fromkeys(self.blocks.get("ticket", {})), **found}

    @staticmethod
    def _has_test(ticket: Ticket, data: Mapping[str, Data]) -> bool:
        return ticket.data is not None and "test" in data[ticket.data].splits

    @staticmethod
    def _dense(
        models: Mapping[str, Model], data: Mapping[str, Data], trainings: Mapping[str, Training]
    ) -> Ticket | None:
        """The unpruned model with the same training, where the recipe leaves no choice."""
        if len(models) != 1:
            return None
        (model,) = models.values()
        trained = model.source == "torch" and len(trainings) == 1 and len(data) == 1
        shown = trained or (model.source in ("hf", "gguf") and len(data) == 1)
        return Ticket(
            "dense",
            model.name,
            next(iter(data)) if shown else None,
            next(iter(trainings)) if trained else None,
            model.span,
        )

    def _require(self, item: syntax.Require, expressions: Expressions) -> Requirement | None:
        left, right = expressions.number(item.left), expressions.number(item.right)
        if left is None or right is None:
            return None
        return Requirement(item.operator, left, right, item.span)

    def _same_paths(self, emits: tuple[Emit, ...]) -> None:
        first: dict[str, Emit] = {}
        for emit in emits:
            if emit.path in first:
                self.findings.error(
                    "duplicate-path",
                    f'two artefacts are called "{emit.path}"',
                    emit.span,
                    Label(first[emit.path].span, "the first"),
                    help="give each emit a file of its own",
                )
            first.setdefault(emit.path, emit)


def _place_of(error: InputError, search: syntax.Block) -> Span:
    """What of a `search` block asks for something that went wrong."""
    if error.diagnostics[0].code.startswith("torch-"):
        return next(entry.value.span for entry in search.entries if entry.key == "source")
    return search.name_span
