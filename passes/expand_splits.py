"""Replace every `lotto.split` by a ticket for each part of the data, intersection and differences.

    %m, %s, %f = lotto.find … on %d
    %c, %a, %b = lotto.split "digits" %m over(%p, %q)
->
    %m, %s, %f = lotto.find … on %d
    %m1, %s1, %f1 = lotto.find … on %p
    %m2, %s2, %f2 = lotto.find … on %q
    %c = lotto.and %m1, %m2
    %a = lotto.sub %m1, %c
    %b = lotto.sub %m2, %c
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from lottoc.ir import lotto
from lottoc.ir.place import pass_failed


def _expand(split: lotto.SplitOp) -> None:
    find = split.masks.owner
    if not isinstance(find, lotto.FindOp):
        help = ("run expand-splits before unroll-methods",)
        raise pass_failed(split, f"{split.name} takes masks that lotto.find gives", help)
    if find.data is None:
        raise pass_failed(split, f'ticket "{find.ticket.data}" is found without data')

    def add(op: Operation) -> SSAValue:
        op.location = split.location
        Builder(InsertPoint.before(split)).insert(op)
        return op.results[0]

    found: list[SSAValue] = []
    for number, part in enumerate(split.parts, start=1):
        own = find.clone({find.data: part})
        own.properties["ticket"] = StringAttr(f"{split.split.data}.part({number})")
        found.append(add(own))
    core = reduce(lambda a, b: add(lotto.AndOp(a, b)), found)
    split.core.replace_all_uses_with(core)
    for old, masks in zip(split.specialists, found, strict=True):
        old.replace_all_uses_with(add(lotto.SubOp(masks, core)))
    Rewriter.erase_op(split)


@dataclass(frozen=True)
class ExpandSplitsPass(ModulePass):
    """Find a ticket on each part of the data; what all keep is the core, the rest specialists."""

    name = "expand-splits"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Expand in place."""
        for split in [inner for inner in op.ops if isinstance(inner, lotto.SplitOp)]:
            _expand(split)
