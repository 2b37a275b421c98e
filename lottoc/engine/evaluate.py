"""Evaluates mask IR: every result is looked for in the store first, and put there when made.

Only what artefacts, contracts and the report ask for is computed. Cheap values (a layer's weight,
its scores) are made where they are used and never kept, so memory is bounded by the largest layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr, ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.ir.core import OpResult

from lottoc.diagnostics import Diagnostic, InputError
from lottoc.engine.bench import Bench
from lottoc.engine.compute import ARITHMETIC, STORED, TRANSIENT
from lottoc.engine.describe import describe
from lottoc.engine.keys import Keys
from lottoc.engine.kinds import Kind, kind_of
from lottoc.engine.models import open_model
from lottoc.engine.store import Store
from lottoc.ir import lotto
from lottoc.ir.place import labels
from lottoc.ir.plain import strings
from lottoc.progress import Progress, Trace, untraced


@dataclass
class Engine:
    """Evaluates the values of one module."""

    store: Store
    progress: Progress
    trace: Trace = untraced
    keys: Keys = field(default_factory=Keys)
    computed: int = 0
    """How many results had to be made, rather than found."""
    trained: int = 0
    """How many of them were trainings."""
    latest: tuple[lotto.GatherOp, Any] | None = None
    """What was gathered last, and is not kept in the store."""

    def run(self, module: ModuleOp) -> None:
        """Make every stored result that an operation with an effect needs."""
        effects = [op for op in module.ops if not op.results]
        needed, found = self._needed(v for op in effects for v in _demanded(op))
        for op in module.ops:
            if op in found:
                self.trace("reused", describe(op), self.keys.of(op))
        self._make_all(needed, module.ops)

    def value(self, value: SSAValue) -> Any:
        """What an SSA value stands for: masks, weights, numbers, models, data sets."""
        assert isinstance(value, OpResult)
        op = value.op
        if isinstance(op, arith.ConstantOp):
            assert isinstance(op.value, FloatAttr)
            return float(op.value.value.data)
        if type(op) in ARITHMETIC:
            return ARITHMETIC[type(op)](*(self.value(operand) for operand in op.operands))
        kind = kind_of(op)
        if kind is None:
            return self._gathered(op) if isinstance(op, lotto.GatherOp) else self._passing(op)
        path = self._path(op, kind)
        if path is None:  # damaged or swept away since `run` looked
            block = op.parent_block()
            assert block is not None
            self._make_all(self._needed([value])[0], block.ops)
            path = self._path(op, kind)
            assert path is not None
        result = kind.load(path)[value.index]
        if isinstance(op, lotto.ReconstructOp) and value is op.result:
            from lottoc.layerwise.results import with_solved

            return with_solved(self.value(op.weights), result)
        return result

    def _passing(self, op: Operation) -> Any:
        if isinstance(op, lotto.ModelOp):
            return open_model(op, self.store)
        return TRANSIENT[type(op)](op, self.value)

    def _gathered(self, op: lotto.GatherOp) -> Any:
        """Every layer asks for what was gathered; of a schedule's rounds only the last is held."""
        if self.latest is None or self.latest[0] is not op:
            self.latest = None  # never two at a time
            self.latest = (op, self._passing(op))
        return self.latest[1]

    def _path(self, op: Operation, kind: Kind) -> Path | None:
        return self.store.get(self.keys.of(op), kind.suffix)

    def _needed(self, roots: Iterable[SSAValue]) -> tuple[set[Operation], set[Operation]]:
        """Operations whose results are missing, as far back as they are, and those found."""
        needed: set[Operation] = set()
        found: set[Operation] = set()
        seen: set[Operation] = set()
        pending = [value.owner for value in roots]
        while pending:
            op = pending.pop()
            assert isinstance(op, Operation)
            if op in seen:
                continue
            seen.add(op)
            kind = kind_of(op)
            if kind is not None:
                if self._path(op, kind) is not None:
                    found.add(op)
                    continue
                needed.add(op)
            pending += [value.owner for value in op.operands]
        return needed, found

    def _make_all(self, needed: set[Operation], order: Iterable[Operation]) -> None:
        trainings = sum(isinstance(op, lotto.TRAININGS) for op in needed)
        number = 0
        for op in order:
            if op in needed:
                number += isinstance(op, lotto.TRAININGS)
                self._make(op, f"training {number} of {trainings}")

    def _make(self, op: Operation, label: str) -> None:
        kind, key = kind_of(op), self.keys.of(op)
        assert kind is not None
        save = kind.save
        try:
            results = STORED[type(op)](op, self.value, Bench(self.store, self.progress, key, label))
        except InputError as error:
            error.diagnostics = [_located(diagnostic, op) for diagnostic in error.diagnostics]
            raise
        self.store.put(key, lambda path: save(path, results), kind.suffix)
        self.store.drop_partial(key)
        if isinstance(op, lotto.ReconstructOp):
            from lottoc.engine.calibrate import drop_parts

            drop_parts(self.store, key, strings(op.layers))
        self.trace("computed", describe(op), key)
        self.computed += 1
        self.trained += isinstance(op, lotto.TRAININGS)


def _located(diagnostic: Diagnostic, op: Operation) -> Diagnostic:
    """What is wrong with a file or a network, at the place of the recipe that it is needed for."""
    if isinstance(op, lotto.ProxyOp):
        of = f'the model is "{lotto.model_of(op.weights)}"'
        diagnostic = replace(diagnostic, help=(*diagnostic.help, of))
    return replace(diagnostic, labels=diagnostic.labels or labels(op))


def _demanded(op: Operation) -> Iterable[SSAValue]:
    """What an operation with an effect looks at: a ticket's row shows no weights."""
    return [v for v in op.operands if not (isinstance(op, lotto.TicketOp) and v is op.weights)]
