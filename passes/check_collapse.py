"""Refuse programs that must leave a layer without any weight, before a single step is trained."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from lottoc.diagnostics import Diagnostic, RecipeError
from lottoc.ir import mask

_HELP = "prune less, or leave small layers out with  layers = … - size(< 1000)"


def _layer(scores: SSAValue) -> str:
    owner = scores.owner
    return owner.layer.data if isinstance(owner, mask.ScoreOp) else "?"


def _finding(op: Operation) -> Diagnostic | None:
    match op:
        case mask.KeepOp() if op.kept.value.data == 0:
            size = mask.scores_type(op.scores).size
            return Diagnostic(
                "layer-collapse",
                f'layer "{_layer(op.scores)}" would keep none of its {size} weights',
                help=(_HELP,),
            )
        case mask.KeepGlobalOp() if op.kept.value.data < len(op.scores):
            return Diagnostic(
                "layer-collapse",
                f"{op.kept.value.data} weights cannot keep {len(op.scores)} layers alive",
                help=(_HELP,),
            )
    return None


@dataclass(frozen=True)
class CheckCollapsePass(ModulePass):
    """Find layers that must collapse by the counts alone."""

    name = "check-collapse"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Raise `RecipeError` naming every such layer once; change nothing."""
        found = [f for inner in op.ops if (f := _finding(inner)) is not None]
        if found:
            raise RecipeError(list(dict.fromkeys(found)))
