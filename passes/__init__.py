"""Compiler passes: one file a pass, one line here, imported when first asked for."""

from __future__ import annotations

from importlib import import_module

from xdsl.passes import ModulePass

PASSES = {
    "check-collapse": "lottoc.passes.check_collapse:CheckCollapsePass",
    "cse": "xdsl.transforms.common_subexpression_elimination:CommonSubexpressionElimination",
    "dce": "xdsl.transforms.dead_code_elimination:DeadCodeElimination",
    "expand-splits": "lottoc.passes.expand_splits:ExpandSplitsPass",
    "lower-lotto-to-mask": "lottoc.passes.lower_lotto_to_mask:LowerLottoToMaskPass",
    "share-training": "lottoc.passes.share_training:ShareTrainingPass",
    "unroll-methods": "lottoc.passes.unroll_methods:UnrollMethodsPass",
}


_FOREIGN = {
    "cse": "Make equal operations one.",
    "dce": "Drop operations whose results nobody uses.",
}
"""What xDSL's own passes do, which they do not say."""


def summary(name: str) -> str:
    """What a pass does, in one sentence."""
    return _FOREIGN.get(name) or (pass_class(name).__doc__ or "").partition("\n")[0]


def pass_class(name: str) -> type[ModulePass]:
    """The class of a pass; `KeyError` if there is none of that name."""
    module, _, attribute = PASSES[name].partition(":")
    found: type[ModulePass] = getattr(import_module(module), attribute)
    return found
