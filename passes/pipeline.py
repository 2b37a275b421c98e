"""The order in which passes run, and running them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from lottoc.passes import pass_class

LOWER = (
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
    names: Iterable[str],
    context: Context,
    after: Callable[[str, ModuleOp], None] = lambda name, module: None,
) -> None:
    """Run passes in place, verifying after each; `after` sees the module in between."""
    for name in names:
        pass_class(name)().apply(context, module)
        module.verify()
        after(name, module)
