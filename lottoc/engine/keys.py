"""The content hash of an operation: what it does and what it does it to, never what it is called.

Equal keys mean equal results, so a key is where a result is stored. Names and paths take no part:
a renamed ticket or a moved file finds its results again.
"""

from __future__ import annotations

import hashlib

from xdsl.dialects import arith
from xdsl.ir import Operation, SSAValue
from xdsl.ir.core import OpResult

from lottoc.ir import lotto
from lottoc.ir.types import LayerMaskType

SEMANTICS = 2
"""Raise this when operations come to mean something else, so that old results are not found."""

_CHANGED: dict[type[Operation], int] = {
    lotto.ReconstructOp: 1,  # least squares under groups
}
"""The same for one operation alone."""

_NOT_MEANING: dict[type[Operation], set[str]] = {
    lotto.ModelOp: {"model", "path", "function", "layers"},  # the digest covers them
    lotto.DataOp: {"data", "splits"},
}


class Keys:
    """Keys of the operations of one module, computed once each, in program order."""

    def __init__(self) -> None:
        self._known: dict[Operation, str] = {}

    def of(self, op: Operation) -> str:
        """The key of an operation, 64 hexadecimal digits."""
        pending = [op]
        while pending:  # a stack of our own: chains of rounds are deeper than Python's
            last = pending[-1]
            missing = [o for o in _owners(last) if o not in self._known]
            if missing:
                pending += missing
            else:
                self._known[pending.pop()] = self._hash(last)
        return self._known[op]

    def _hash(self, op: Operation) -> str:
        ignored = _NOT_MEANING.get(type(op), set())
        properties = {k: str(v) for k, v in op.properties.items() if k not in ignored}
        if isinstance(op, arith.ConstantOp):
            properties |= {k: str(v) for k, v in op.attributes.items()}
        changed = _CHANGED.get(type(op))
        text = [f"lottoc {SEMANTICS}", op.name if changed is None else f"{op.name} {changed}"]
        text += [f"{key} = {properties[key]}" for key in sorted(properties)]
        text += [f"-> {pattern}" for pattern in _patterns(op)]
        text += [f"{self._known[_owner(v)]}#{_index(v)}" for v in op.operands]
        return hashlib.sha256("\n".join(text).encode()).hexdigest()


def _patterns(op: Operation) -> list[str]:
    """The patterns of masks, which only the types of results say."""
    types = [r.type for r in op.results if isinstance(r.type, LayerMaskType)]
    return [t.pattern_text.data for t in types if t.pattern_text.data]


def _owner(value: SSAValue) -> Operation:
    assert isinstance(value.owner, Operation)
    return value.owner


def _index(value: SSAValue) -> int:
    assert isinstance(value, OpResult)
    return value.index


def _owners(op: Operation) -> list[Operation]:
    return [_owner(value) for value in op.operands]
