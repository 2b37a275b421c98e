"""Refuse programs that must leave a layer without any weight, before a single step is trained."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from lottoc.diagnostics import Diagnostic, RecipeError
from lottoc.ir import mask
from lottoc.ir.place import labels

_HELP = "prune less, or leave small layers out with  layers = … - size(< 1000)"


def _layer(scores: SSAValue) -> str:
    owner = scores.owner
    return owner.layer.data if isinstance(owner, mask.ScoreOp) else "?"


def _message(op: Operation, least: int) -> str | None:
    match op:
        case mask.KeepOp() if op.kept.value.data < least:
            size, kept = mask.scores_type(op.scores).size, op.kept.value.data or "none"
            return f'layer "{_layer(op.scores)}" would keep {kept} of its {size} weights'
        case mask.KeepGlobalOp() if op.kept.value.data < least * len(op.scores):
            types = [mask.mask_type(result) for result in op.masks]
            if all(t.pattern.at_least(t.shape) >= least for t in types):
                return None
            each = "" if least == 1 else f" at {least} weights each"
            return f"{op.kept.value.data} weights cannot keep {len(op.scores)} layers alive{each}"
    return None


@dataclass(frozen=True)
class CheckCollapsePass(ModulePass):
    """Find layers that must collapse by the counts alone: they would keep fewer than `least`."""

    name = "check-collapse"
    least: int = 1

    def __post_init__(self) -> None:
        if self.least < 0:
            raise ValueError(f'option "least" is {self.least}, and no layer keeps fewer than 0')

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Raise `RecipeError` naming every such layer once; change nothing."""
        found: dict[str, Diagnostic] = {}
        for inner in op.ops:
            message = _message(inner, self.least)
            if message is not None and message not in found:
                found[message] = Diagnostic("layer-collapse", message, labels(inner), (_HELP,))
        if found:
            raise RecipeError(list(found.values()))
