"""Evaluates mask IR: every result is looked for in the store first, and put there when made.

Only what artefacts, contracts and the report ask for is computed. Cheap values (a layer's weight,
its scores) are made where they are used and never kept, so memory is bounded by the largest layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.ir.core import OpResult

from lottoc.engine.compute import STORED, TRANSIENT, Bench, kind_of
from lottoc.engine.keys import Keys
from lottoc.engine.store import Store
from lottoc.progress import Progress


@dataclass
class Engine:
    """Evaluates the values of one module."""

    store: Store
    progress: Progress
    keys: Keys = field(default_factory=Keys)
    computed: int = 0
    """How many results had to be made, rather than found."""
    reused: int = 0
    _numbers: dict[SSAValue, float] = field(default_factory=dict)

    def run(self, module: ModuleOp) -> None:
        """Make every stored result that an operation with an effect needs."""
        effects = [op for op in module.ops if not op.results]
        needed = self._needed(value for op in effects for value in op.operands)
        for op in module.ops:
            if op in needed:
                self._make(op)

    def _needed(self, roots: Iterable[SSAValue]) -> set[Operation]:
        """Stored operations without a stored result, as far back as results are missing."""
        needed: set[Operation] = set()
        seen: set[Operation] = set()
        pending = [_owner(value) for value in roots]
        while pending:
            op = pending.pop()
            if op in seen:
                continue
            seen.add(op)
            if type(op) in STORED:
                if self._path(op) is not None:
                    self.reused += 1
                    continue
                needed.add(op)
            pending += [_owner(value) for value in op.operands]
        return needed

    def _make(self, op: Operation) -> None:
        kind = kind_of(op)
        key = self.keys.of(op)
        bench = Bench(self.store, self.progress, key)
        results = STORED[type(op)](op, self.value, bench)
        self.store.put(key, lambda path: kind.save(path, results), kind.suffix)
        self.store.drop_partial(key)
        self.computed += 1

    def _path(self, op: Operation) -> Any:
        return self.store.get(self.keys.of(op), kind_of(op).suffix)

    def value(self, value: SSAValue) -> Any:
        """What an SSA value stands for: masks, weights, numbers, models, data sets."""
        op = _owner(value)
        assert isinstance(value, OpResult)
        if value in self._numbers:
            return self._numbers[value]
        if isinstance(op, arith.ConstantOp | arith.AddfOp | arith.SubfOp | arith.MulfOp | arith.DivfOp):
            return self._arithmetic(op)
        if type(op) in TRANSIENT:
            return TRANSIENT[type(op)](op, self.value)
        path = self._path(op)
        if path is None:  # swept away or damaged since `run` looked
            self.run_for(value)
            path = self._path(op)
        result = kind_of(op).load(path)[value.index]
        if isinstance(result, float):
            self._numbers[value] = result
        return result

    def run_for(self, value: SSAValue) -> None:
        """Make one value and what it needs."""
        needed = self._needed([value])
        block = _owner(value).parent_block()
        assert block is not None
        for op in block.ops:
            if op in needed:
                self._make(op)

    def _arithmetic(self, op: Operation) -> float:
        if isinstance(op, arith.ConstantOp):
            return float(op.value.value.data)  # type: ignore[union-attr]
        left, right = (float(self.value(operand)) for operand in op.operands)
        match op:
            case arith.AddfOp():
                return left + right
            case arith.SubfOp():
                return left - right
            case arith.MulfOp():
                return left * right
            case _:
                return left / right if right else float("nan")


def _owner(value: SSAValue) -> Operation:
    assert isinstance(value.owner, Operation)
    return value.owner
