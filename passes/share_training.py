"""Let a longer training continue a shorter one that starts the same way.

A training is a function of its start, its data and the steps it runs through, and cutting it in
two changes no bit of it; so `0 → T` may be written as `0 → k`, then `k → T`. That is what lets a
late-rewinding ticket and the dense network share their first k steps, and the ticket's first
round be the dense training.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Block
from xdsl.passes import ModulePass

from lottoc.ir import lotto


def _beginning(train: lotto.TrainOp) -> tuple[object, ...]:
    """What two trainings must have in common to share their first steps."""
    operands = tuple(id(value) for value in train.operands)
    masked = train.masks is not None
    return (
        operands,
        masked,
        train.first,
        train.optimizer,
        train.training,
        train.lr_at,
        train.frozen,
    )


def _share(block: Block) -> bool:
    groups: dict[tuple[object, ...], list[lotto.TrainOp]] = defaultdict(list)
    for op in block.ops:
        if isinstance(op, lotto.TrainOp):
            groups[_beginning(op)].append(op)
    for group in groups.values():
        lengths = sorted({train.last.value.data for train in group})
        if len(lengths) > 1:
            shortest = next(t for t in group if t.last.value.data == lengths[0])
            first = group[0]
            if shortest is not first:
                block.detach_op(shortest)
                block.insert_op_before(shortest, first)
            for train in group:
                if train.last.value.data > lengths[0]:
                    _continue(train, shortest)
            return True
    return False


def _continue(longer: lotto.TrainOp, shorter: lotto.TrainOp) -> None:
    """`train %w from a to c` -> `train (train %w from a to b) from b to c {optimizer = "keep"}`"""
    longer.operands[0] = shorter.result
    longer.properties["first"] = shorter.last
    longer.properties["optimizer"] = StringAttr(lotto.KEEP)


@dataclass(frozen=True)
class ShareTrainingPass(ModulePass):
    """Let longer trainings continue shorter ones."""

    name = "share-training"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite until no two trainings run through the same steps."""
        block = op.body.block
        while _share(block):
            pass
