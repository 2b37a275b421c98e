"""The order in which passes run, and running them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from lottoc.diagnostics import Diagnostic, RecipeError
from lottoc.ir.laws import verify_after
from lottoc.passes import pass_class

LOWER = (
    "expand-splits",  # a ticket for each part of the data
    "unroll-methods",  # methods become training, scoring, pruning
    "cse",  # tickets that start alike share what they share
    "share-training",  # a longer training continues a shorter one
    "cse",  # which makes more of them equal
    "lower-lotto-to-mask",  # layer by layer, shapes and patterns in types
    "cse",
    "dce",  # what no artefact, metric or contract needs
    "check-collapse",  # on paper: a layer that must end empty
)
"""Recipe IR to mask IR."""


def run(
    module: ModuleOp,
    passes: Iterable[str | ModulePass],
    context: Context,
    after: Callable[[ModulePass, ModuleOp], None] = lambda step, module: None,
    *,
    verify: bool = True,
) -> None:
    """Run passes in place, verifying after each; `after` sees the module in between.

    A name stands for a pass with its default options. Raises `RecipeError` where a pass refuses
    the program, `LottoError` (pass-broke-ir) where it left an invalid one.
    """
    for named in passes:
        step = pass_class(named)() if isinstance(named, str) else named
        try:
            step.apply(context, module)
        except PassFailedException as error:
            raise RecipeError([Diagnostic("pass-failed", f"{step.name}: {error}")]) from error
        if verify:
            verify_after(step.name, module)
        after(step, module)
