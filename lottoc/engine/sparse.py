"""Training under masks that move: `lotto.train_sparse`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lottoc.engine.bench import Bench, Value
from lottoc.engine.models import layer_of, model_op
from lottoc.ir import lotto
from lottoc.ir.plain import from_dictionary, strings
from lottoc.masks.mask import Mask

if TYPE_CHECKING:
    from lottoc.training.loop import Moves


def train_sparse(op: lotto.TrainSparseOp, value: Value, bench: Bench) -> list[Any]:
    """The masks and the weights after the last step."""
    from lottoc.training.loop import train
    from lottoc.training.spec import TrainingSpec
    from lottoc.training.state import State

    spec: Any = TrainingSpec.from_options(from_dictionary(op.training))
    model = value(model_op(op.weights).result)
    first, last = op.first.value.data, op.last.value.data
    state, start, optimizer = value(op.weights), first, op.optimizer.data
    masks = {n: m.to_bool() for n, m in starting_masks(op, value).items()}
    moves = moves_of(op, masks)
    partial = bench.store.get_partial(bench.key)
    if partial is not None:
        state = State.load(partial)
        start, optimizer = state.step, lotto.KEEP
        masks = {n: m.to_bool() for n, m in state.masks().items()}
    with bench.progress.task(bench.label, last - first) as advance:
        advance(start - first)
        result = train(
            model.build(0),
            state,
            value(op.data).split("train"),
            spec,
            start=start,
            stop=last,
            masks=masks,
            moves=moves,
            optimizer=cast(Any, optimizer),
            progress=advance,
            checkpoint=lambda s: bench.store.put_partial(bench.key, s.save),
        )
    return [result.masks(), result.without_masks()]


def starting_masks(op: lotto.TrainSparseOp, value: Value) -> Mapping[str, Mask]:
    """What the training starts under; everything where the operation says nothing."""
    if op.under is not None:
        found: Mapping[str, Mask] = value(op.under)
        return found
    return {name: Mask.full(layer_of(op.weights, name).shape) for name in strings(op.layers)}


def moves_of(op: lotto.TrainSparseOp, masks: Mapping[str, np.ndarray]) -> Moves:
    """The update of an operation, with the number of weights that each layer may keep."""
    from lottoc.training.loop import Moves
    from lottoc.training.updates import make_update

    update = make_update(
        op.update.data,
        from_dictionary(op.options),
        scope=op.scope.data,
        density=op.density.data,
        pattern=op.pattern.data,
    )
    budgets = {name: int(np.count_nonzero(mask)) for name, mask in masks.items()}
    return Moves(update, budgets)
