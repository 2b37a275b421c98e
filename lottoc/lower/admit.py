"""Checks IR text before it is evaluated, as the checker of recipes checks a recipe.

The IR's own laws say that a program means something; here is checked that it can be run: its files
are there and are those it was made from, and every name and option is one that lottoc has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from xdsl.dialects.builtin import DictionaryAttr, ModuleOp
from xdsl.ir import Operation, SSAValue

from lottoc import criteria
from lottoc.catalog import Catalog
from lottoc.diagnostics import Diagnostic, Findings, InputError, Span, did_you_mean
from lottoc.fields import OptionError, build
from lottoc.ir import lotto, mask
from lottoc.ir.place import labels
from lottoc.ir.plain import from_dictionary
from lottoc.lower.activations import FORMATS
from lottoc.lower.emits import KINDS, SOURCES_OF, inside_output
from lottoc.lower.program import SOURCES, Data, SourceKind
from lottoc.lower.sources import LOSSES, OPTIMIZERS, SCHEDULES
from lottoc.lower.splits import Split, split_of
from lottoc.proxies import PROXIES, proxy_class
from lottoc.statistics import STATISTICS, statistic_class
from lottoc.training.augment import parse as parse_augment
from lottoc.training.spec import TrainingSpec
from lottoc.training.updates import UPDATES, make_update


def admit(module: ModuleOp, catalog: Catalog, findings: Findings) -> None:
    """Check a module of mask IR that is to be evaluated.

    Raises `RecipeError` (ir-not-runnable) for what lottoc does not have, `InputError` for files
    that are missing, damaged or not those that the IR was made from (ir-outdated).
    """
    check = _Check(catalog, findings)
    for op in module.ops:
        check.operation(op)
    findings.raise_errors()


@dataclass(frozen=True)
class _Setting:
    """What an evaluation takes from a training."""

    loss: str = "cross_entropy"
    threads: int = 1


@dataclass(frozen=True)
class _Artefact:
    format: str
    values: str
    target: str = ""
    batch: tuple[int, ...] = (1,)
    fixed: bool = False
    activations: str = "same"
    samples: int = 1
    split: str = "train"


_RELATIVE = "paths in IR are relative to the folder that lottoc runs in"


def _said(statistic: str | None) -> str:
    return f'the statistic "{statistic}"' if statistic else "the weight alone"


class _Check:
    def __init__(self, catalog: Catalog, findings: Findings) -> None:
        self.catalog, self.findings = catalog, findings
        self.sources: dict[str, str] = {}
        """The kind of source of each model."""
        self.splits: dict[SSAValue, frozenset[str]] = {}
        self.paths: set[str] = set()
        self.tickets: set[str] = set()
        self.swaps: dict[str, int] = {}
        """ONNX files, and how many files turn each into other tickets."""

    def operation(self, op: Operation) -> None:
        match op:
            case lotto.ModelOp():
                self._model(op)
            case lotto.DataOp():
                self._data(op)
            case lotto.PartOp():
                self.splits[op.result] = self.splits.get(op.data, frozenset())
            case lotto.GraftOp():
                self._torch(op, op.weights)
            case lotto.SwapOp():
                self._swap(op)
            case lotto.TrainOp():
                self._torch(op, op.weights)
                self._split(op, op.data, "train")
                self._training(op)
            case lotto.TrainSparseOp():
                self._torch(op, op.weights)
                self._split(op, op.data, "train")
                self._training(op)
                self._update(op)
            case lotto.InterpolateOp():
                self._torch(op, op.weights)
                self._split(op, op.data, "train")
                self._build(op, _Setting, op.training)
            case lotto.EvaluateOp():
                self._measured(op)
                self._split(op, op.data, op.split.data)
                setting = self._build(op, _Setting, op.training)
                self._known(op, setting, loss=LOSSES)
            case lotto.PlacesOp():
                self._places(op)
            case lotto.SignsOp():
                self._torch(op, op.weights)
            case lotto.GatherOp():
                self._gather(op)
            case lotto.ProxyOp():
                self._proxy(op)
            case lotto.ReconstructOp():
                self._solver(op)
            case mask.ScoreOp():
                self._criterion(op)
            case lotto.TicketOp():
                self._ticket(op)
            case lotto.EmitOp():
                self._emit(op)
            case _:
                return

    def _wrong(self, op: Operation, message: str, help: Iterable[str] = ()) -> None:
        self.findings.error("ir-not-runnable", message, *labels(op), help=help)

    def _build(self, op: Operation, shape: type[Any], options: DictionaryAttr) -> Any:
        try:
            return build(shape, from_dictionary(options))
        except OptionError as error:
            self._wrong(op, str(error), error.help)
            return None

    def _known(self, op: Operation, made: Any, **known: Iterable[str]) -> None:
        for name, values in known.items():
            if made is not None and (word := getattr(made, name)) not in values:
                self._wrong(op, f'unknown {name} "{word}"', did_you_mean(word, values))

    def _least(self, op: Operation, made: Any, **least: float) -> None:
        for name, bound in least.items():
            value = getattr(made, name, None)
            if value is not None and value < bound:
                self._wrong(op, f"{name} is {value}, not at least {bound}")

    def _model(self, op: lotto.ModelOp) -> None:
        name, source = op.model.data, op.source.data
        self.sources[name] = source
        if source not in SOURCES:
            self._wrong(op, f'unknown source "{source}"', did_you_mean(source, SOURCES))
            return
        if (source == "torch") != (op.function is not None):
            self._wrong(op, "a torch model, and no other, is made by a function")
            return
        kind = cast(SourceKind, source)
        function = op.function.data if op.function else ""
        try:
            signature, digest = self.catalog.signature(kind, Path(op.path.data), function)
        except InputError as error:
            self._absorb(op, error)
            return
        self._same(op, f'model "{name}"', op.path.data, digest, op.digest.data)
        if digest == op.digest.data and list(signature or ()) != [a.layer for a in op.layers]:
            self._wrong(op, f'model "{name}" has other layers than its file')

    def _data(self, op: lotto.DataOp) -> None:
        made: dict[str, Split] = {}
        for name, options in from_dictionary(op.splits).items():
            try:
                made[name] = split_of(options)
            except (OptionError, TypeError) as error:
                self._wrong(op, f'split "{name}": {error}')
                return
        self.splits[op.result] = frozenset(made)
        try:
            digest = self.catalog.digest(Data(op.data.data, made, self._span(op)))
        except InputError as error:
            self._absorb(op, error)
            return
        files = ", ".join(sorted({str(f) for split in made.values() for f in split.files()}))
        self._same(op, f'data "{op.data.data}"', files, digest, op.digest.data)

    def _absorb(self, op: Operation, error: InputError) -> None:
        found = [replace(d, help=(*d.help, _RELATIVE)) for d in error.diagnostics]
        self.findings.absorb(InputError(found), self._span(op))

    @staticmethod
    def _span(op: Operation) -> Span:
        """Where the text says so: IR that is admitted came as text."""
        return labels(op)[0].span

    def _same(self, op: Operation, what: str, files: str, found: str, said: str) -> None:
        if found == said:
            return
        changed = Diagnostic(
            "ir-outdated",
            f"{what} is not what the IR was made from: the digest of {files} is {found[:12]}…, "
            f"not {said[:12]}…",
            help=("make the IR again with  lottoc ir", f'or write  digest = "{found}"'),
        )
        self.findings.absorb(InputError([changed]), self._span(op))

    def _torch(self, op: Operation, weights: SSAValue) -> None:
        name = lotto.model_of(weights)
        source = self.sources.get(name)
        if source == "onnx":
            self._wrong(op, f'{op.name} needs a torch model, and "{name}" is an ONNX file')
        elif source in ("hf", "gguf"):
            self._wrong(op, f'{op.name} needs a torch model, and "{name}" is of {source}')

    def _measured(self, op: lotto.EvaluateOp) -> None:
        source = self.sources.get(lotto.model_of(op.weights), "torch")
        if op.metric.data not in SOURCES.get(cast(SourceKind, source), ()):
            self._wrong(op, f"{op.metric.data} is not measured of a model of {source}")

    def _places(self, op: lotto.PlacesOp) -> None:
        if op.data is not None and op.split is not None:
            self._split(op, op.data, op.split.data)
            return
        name = lotto.model_of(op.model)
        source, said = self.sources.get(name), ""
        if source == "onnx" and isinstance(op.model.owner, lotto.ModelOp):
            try:
                said = ", ".join(self.catalog.open_inputs(Path(op.model.owner.path.data)))
            except InputError:
                return  # which the model itself has told
            said = f"input {said} is open" if said else ""
        elif source in SOURCES:
            said = f"a model of {source} says no shape"
        if said:
            help = ('add  sampled from %data {split = "train"}',)
            self._wrong(op, f'the places of "{name}" want an example: {said}', help)

    def _split(self, op: Operation, data: SSAValue, name: str) -> None:
        known = self.splits.get(data)
        if known is not None and name not in known:
            self._wrong(op, f'the data has no split "{name}"', did_you_mean(name, known))

    def _update(self, op: lotto.TrainSparseOp) -> None:
        name = op.update.data
        if name not in UPDATES:
            self._wrong(op, f'there is no update "{name}"', did_you_mean(name, UPDATES))
            return
        said = {"scope": op.scope.data, "density": op.density.data, "pattern": op.pattern.data}
        try:
            make_update(name, from_dictionary(op.options), **said)
        except OptionError as error:
            self._wrong(op, str(error), error.help)

    def _training(self, op: lotto.TrainOp | lotto.TrainSparseOp) -> None:
        spec = self._build(op, TrainingSpec, op.training)
        self._known(op, spec, optimizer=OPTIMIZERS, schedule=SCHEDULES, loss=LOSSES)
        self._least(op, spec, batch=1, threads=1, steps=1, seed=0, warmup=0)
        self._least(op, spec, lr=0, momentum=0, weight_decay=0, eps=0, clip_norm=0)
        for text in spec.augment if spec is not None else ():
            try:
                parse_augment(text)
            except ValueError as error:
                self._wrong(op, f"augment: {error}")

    def _criterion(self, op: mask.ScoreOp) -> None:
        name = op.criterion.data
        if name not in criteria.CRITERIA:
            known = did_you_mean(name, criteria.CRITERIA)
            self._wrong(op, f'there is no criterion "{name}"', known)
            return
        self._build(op, criteria.criterion_class(name), op.options)
        wanted = criteria.criterion_class(name).statistic
        gathered = op.statistics.owner if op.statistics is not None else None
        found = gathered.statistic.data if isinstance(gathered, lotto.GatherOp) else None
        if found != wanted:
            self._wrong(op, f'"{name}" is made from {_said(wanted)}, not from {_said(found)}')

    def _solver(self, op: lotto.ReconstructOp) -> None:
        name = op.criterion.data
        if name not in criteria.SOLVERS:
            known = did_you_mean(name, criteria.SOLVERS)
            self._wrong(op, f'"{name}" is no criterion that changes weights', known)
            return
        self._build(op, criteria.solver_class(name), op.options)
        self._split(op, op.data, op.split.data)

    def _gather(self, op: lotto.GatherOp) -> None:
        name = op.statistic.data
        if name not in STATISTICS:
            self._wrong(op, f'there is no statistic "{name}"', did_you_mean(name, STATISTICS))
            return
        shape = statistic_class(name)
        if shape.needs & {"gradients", "labels"}:
            self._torch(op, op.weights)
        self._build(op, shape, op.options)
        if op.data is not None and op.split is not None:
            self._split(op, op.data, op.split.data)
        elif "inputs" in shape.needs:
            self._wrong(op, f'"{name}" looks at data', ("add  on %data",))
        setting = self._build(op, _Setting, op.training) if op.training else None
        self._known(op, setting, loss=LOSSES)

    def _proxy(self, op: lotto.ProxyOp) -> None:
        name = op.proxy.data
        if name not in PROXIES:
            self._wrong(op, f'there is no proxy "{name}"', did_you_mean(name, PROXIES))
            return
        self._torch(op, op.weights)
        self._build(op, proxy_class(name), op.options)
        self._split(op, op.data, op.split.data)

    def _ticket(self, op: lotto.TicketOp) -> None:
        if op.ticket.data in self.tickets:
            self._wrong(op, f'"{op.ticket.data}" is the name of an earlier ticket')
        self.tickets.add(op.ticket.data)

    def _swap(self, op: lotto.SwapOp) -> None:
        """Beside an artefact that has been named, and the next of its files."""
        self._torch(op, op.weights)
        path, number = op.path.data, op.number.value.data
        if path not in self.swaps:
            known = did_you_mean(path, self.swaps)
            self._wrong(op, f'there is no ONNX file "{path}" to swap weights of', known)
        elif number != self.swaps[path] + 1:
            self._wrong(op, f'file {number} of "{path}" is to be file {self.swaps[path] + 1}')
        else:
            self.swaps[path] = number

    def _emit(self, op: lotto.EmitOp) -> None:
        path = op.path.data
        kind = KINDS.get(op.kind.data)
        if kind is None:
            self._wrong(op, f'unknown kind of artefact "{op.kind.data}"')
            return
        if not inside_output(path):
            self._wrong(op, f'"{path}" is not a file inside the output folder')
        if path in self.paths:
            self._wrong(op, f'two artefacts are called "{path}"')
        self.paths.add(path)
        if op.kind.data == "onnx":
            self.swaps.setdefault(path, 0)
        made = self._build(op, _Artefact, op.options)
        self._known(op, made, format=kind.formats, values=kind.values)
        own_file = kind.target_files and made is not None and made.target.endswith(".toml")
        if made is not None and made.target and not own_file:
            self._known(op, made, target=kind.targets)
        if made is not None and not (made.batch and min(made.batch) >= 1):
            self._wrong(op, "batch holds sizes of at least 1")
        if made is not None and made.fixed and (len(made.batch), op.kind.data) != (1, "onnx"):
            self._wrong(op, "fixed is of emit onnx with one batch size")
        if made is not None and made.activations != "same":
            self._activations(op, made)
        source = self.sources.get(lotto.model_of(op.weights))
        if source is not None and source not in SOURCES_OF[op.kind.data]:
            self._wrong(op, f"emit {op.kind.data} takes no model of {source}")
        if source == "torch" and op.kind.data != "adapter":
            if op.data is None:
                self._wrong(op, "a torch model is exported with data", ("add  sampled from %data",))
            else:
                self._split(op, op.data, "train")

    def _activations(self, op: lotto.EmitOp, made: _Artefact) -> None:
        """Layers that multiply in int8 are written as the checker of recipes lets them."""
        self._known(op, made, activations=("int8",))
        self._least(op, made, samples=1)
        suited = op.kind.data == "onnx" and made.format in FORMATS and made.values == "int8"
        if not suited:
            self._wrong(op, "int8 activations need values int8, in groups or auto of onnx")
        if op.data is None:
            self._wrong(op, "int8 activations need data", ("add  sampled from %data",))
        else:
            self._split(op, op.data, made.split)
