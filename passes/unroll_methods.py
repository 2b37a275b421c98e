"""Replace every `lotto.find` by the training, scoring and pruning that its method asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from lottoc.diagnostics import Diagnostic, RecipeError, did_you_mean
from lottoc.fields import OptionError, build
from lottoc.ir import lotto
from lottoc.ir.place import labels, pass_failed
from lottoc.ir.plain import from_dictionary
from lottoc.methods import METHODS, method_class, unsuited
from lottoc.methods.lab import Method
from lottoc.passes.lab import IrLab


def method_of(find: lotto.FindOp) -> Method:
    """The method with its options; raises `RecipeError` (pass-failed) if there is none such."""
    name = find.method.data
    if name not in METHODS:
        raise pass_failed(find, f'there is no method "{name}"', did_you_mean(name, METHODS))
    try:
        return build(method_class(name), from_dictionary(find.options))
    except OptionError as error:
        raise pass_failed(find, f"{name}: {error}", error.help) from error


def _check_rewind(find: lotto.FindOp, first: int, last: int) -> None:
    if first and first >= last:
        message = (
            f"rewinding to step {first} leaves nothing to train: the training has {last} steps"
        )
        help = ("rewind to an early step, e.g. rewind = 0",)
        raise RecipeError([Diagnostic("rewind-past-end", message, labels(find), help)])


@dataclass(frozen=True)
class UnrollMethodsPass(ModulePass):
    """Replace `lotto.find` by what its method does; of only some `tickets`, if they are named."""

    name = "unroll-methods"
    tickets: tuple[str, ...] = ()

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Unroll in place."""
        finds = [o for o in op.ops if isinstance(o, lotto.FindOp)]
        self._check_names([find.ticket.data for find in finds])
        for find in finds:
            if not self.tickets or find.ticket.data in self.tickets:
                _unroll(find)

    def _check_names(self, known: Sequence[str]) -> None:
        for name in self.tickets:
            if name not in known:
                message = f'there is no ticket "{name}" to find'
                help = did_you_mean(name, known)
                raise RecipeError([Diagnostic("pass-failed", message, help=help)])


def _unroll(find: lotto.FindOp) -> None:
    method, lab = method_of(find), IrLab(find)
    unfit = unsuited(method, lab.pattern, find.criterion.data)
    if unfit is not None:
        raise pass_failed(find, f"{find.method.data} {unfit.message}", unfit.help)
    if find.excluded is not None and not getattr(method, "adapts", False):
        raise pass_failed(find, f"{find.method.data} excludes nothing", ("use  lota",))
    _check_rewind(find, method.first_step(lab), lab.total_steps)
    found = method.find(lab)
    for old, new in zip(find.results, (found.masks, found.start, found.final), strict=True):
        old.replace_all_uses_with(new)
    Rewriter.erase_op(find)
