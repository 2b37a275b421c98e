"""How masks are chosen, repaired and combined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
from xdsl.ir import Operation, SSAValue

from lottoc.diagnostics import Diagnostic, RecipeError, input_error
from lottoc.engine import signal
from lottoc.engine.bench import Bench, Value
from lottoc.ir import mask
from lottoc.ir.place import labels
from lottoc.masks.mask import Mask, shuffle
from lottoc.masks.patterns import Pattern
from lottoc.masks.select import Each, NonFiniteScores, check_finite


@contextmanager
def _selecting(op: Operation, scores: Sequence[SSAValue]) -> Iterator[None]:
    """Explain scores that cannot be ranked, and masks that cannot keep as much as IR asks."""
    try:
        yield
    except NonFiniteScores as error:
        owner = scores[error.position].owner
        assert isinstance(owner, mask.ScoreOp)
        raise input_error(
            "not-finite",
            f'a score of layer "{owner.layer.data}" is not a finite number: {error}',
            help=("look for NaN or infinite weights in the model, or a training that diverged",),
        ) from error
    except ValueError as error:
        raise RecipeError([Diagnostic("ir-not-runnable", str(error), labels(op))]) from error


def keep(op: mask.KeepOp, value: Value, bench: Bench) -> list[Any]:
    """The best of a layer."""
    within = value(op.within).to_bool() if op.within is not None else None
    pattern, kept = mask.mask_type(op.result).pattern, op.kept.value.data
    with _selecting(op, [op.scores]):
        if op.order is not None:
            return [
                Mask.from_bool(pattern.keep_in(value(op.order), value(op.scores), kept, within))
            ]
        result = pattern.keep(value(op.scores), kept, within)
        _check_law(pattern, result, kept, within is not None)
    return [Mask.from_bool(result)]


def order(op: mask.OrderOp, value: Value, bench: Bench) -> list[Any]:
    """The shared order of input channels."""
    from lottoc.masks.permute import search_shared_order

    with _selecting(op, op.scores):
        scores = Each(op.scores, value)
        for position, layer in enumerate(scores):
            check_finite(layer, position)
        return [search_shared_order(scores, op.n.value.data, op.m.value.data)]


def keep_global(op: mask.KeepGlobalOp, value: Value, bench: Bench) -> list[Any]:
    """The best of several layers together."""
    pattern, scores = mask.mask_type(op.masks[0]).pattern, Each(op.scores, value)
    within = Each([value(m) for m in op.within], Mask.to_bool) if op.within else None
    masks = []
    with _selecting(op, op.scores):
        for result in pattern.keep_together(scores, op.kept.value.data, within):
            _check_law(pattern, result, None, within is not None)
            masks.append(Mask.from_bool(result))
    return masks


def keep_shares(op: mask.KeepSharesOp, value: Value, bench: Bench) -> list[Any]:
    """The best of each layer, by a rule that spreads the budget."""
    from lottoc.masks.shares import RULES

    scores, masks = Each(op.scores, value), []
    with _selecting(op, op.scores):
        counts = RULES[op.rule.data](scores, op.share)
        for index, (result, count) in enumerate(zip(op.masks, counts, strict=True)):
            type_ = mask.mask_type(result)
            share = Fraction(count, type_.size)
            (kept,) = type_.pattern.counts("layerwise", [type_.shape], share)
            within = value(op.within[index]).to_bool() if op.within else None
            kept_mask = type_.pattern.keep(scores[index], kept, within)
            _check_law(type_.pattern, kept_mask, kept, within is not None)
            masks.append(Mask.from_bool(kept_mask))
    return masks


def _check_law(pattern: Pattern, result: np.ndarray, kept: int | None, restricted: bool) -> None:
    """No mask comes out that is not what its type says."""
    if pattern.holds(result) and kept in (None, np.count_nonzero(result)):
        return
    if restricted:
        many = "" if kept is None else f" that keeps {kept} weights"
        raise ValueError(f"the earlier mask has no mask of pattern {pattern} in it{many}")
    raise AssertionError(f"a mask that should be {pattern} is not")


def repair(op: mask.RepairOp, value: Value, bench: Bench) -> list[Any]:
    """Masks through which every output hears of an input."""
    with _selecting(op, op.scores):
        return list(signal.repair(op, value))


def binary(op: Any, value: Value, bench: Bench) -> list[Any]:
    """Two masks combined."""
    left, right = value(op.lhs), value(op.rhs)
    match op:
        case mask.AndOp():
            return [left & right]
        case mask.OrOp():
            return [left | right]
        case mask.XorOp():
            return [left ^ right]
        case _:
            return [left - right]


def invert(op: mask.NotOp, value: Value, bench: Bench) -> list[Any]:
    """The complement of a mask."""
    return [~value(op.mask)]


def shuffled(op: mask.ShuffleOp, value: Value, bench: Bench) -> list[Any]:
    """A mask of as many weights at other places."""
    return [shuffle(value(op.mask), op.seed.value.data, op.layer.data)]
