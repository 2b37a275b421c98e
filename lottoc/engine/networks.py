"""Trainings, statistics and measurements of whole networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from lottoc.engine import signal
from lottoc.engine.bench import Bench, Value
from lottoc.engine.kinds import arrays
from lottoc.engine.models import model_op
from lottoc.fields import build
from lottoc.ir import lotto
from lottoc.ir.plain import from_dictionary, strings
from lottoc.masks.mask import Mask
from lottoc.progress import Progress, Silent
from lottoc.proxies import proxy_class
from lottoc.statistics import statistic_class


def gather(
    op: lotto.GatherOp, value: Value, progress: Progress | None = None
) -> Mapping[str, np.ndarray]:
    """A statistic of a network over data, by layer."""
    shape = statistic_class(op.statistic.data)
    if "activations" in shape.needs and "gradients" not in shape.needs:
        from lottoc.engine.calibrate import gather as calibrate

        return calibrate(op, value, progress or Silent())
    return _differentiate(op, value)


def _differentiate(op: lotto.GatherOp, value: Value) -> Mapping[str, np.ndarray]:
    from lottoc.statistics.network import TorchNetwork
    from lottoc.training.settings import fixed_threads

    statistic = build(statistic_class(op.statistic.data), from_dictionary(op.options))
    setting: Any = from_dictionary(op.training)
    assert (op.data is None) == (op.split is None)
    data = value(op.data).split(op.split.data) if op.data and op.split else None
    masks = arrays(value(op.masks)) if op.masks is not None else None
    with fixed_threads(setting.get("threads", 1)):
        network = TorchNetwork.of(
            value(model_op(op.weights).result).build(0),
            value(op.weights),
            data,
            masks,
            setting.get("loss", "cross_entropy"),
        )
        return statistic.gather(network, strings(op.layers))


def init(op: lotto.InitOp, value: Value, bench: Bench) -> list[Any]:
    """θ_0 from the model and the seed."""
    return [value(op.model).initial_state(op.seed.value.data)]


def signs(op: lotto.SignsOp, value: Value, bench: Bench) -> list[Any]:
    """The start reduced to its signs."""
    from lottoc.training.state import signed_constant

    by_fan_in = op.by_fan_in is not None
    return [signed_constant(value(op.weights), strings(op.layers), by_fan_in=by_fan_in)]


def graft(op: lotto.GraftOp, value: Value, bench: Bench) -> list[Any]:
    """Weights that are another's where masks keep."""
    from lottoc.training.state import grafted

    return [grafted(value(op.weights), value(op.other), arrays(value(op.masks)))]


def train(op: lotto.TrainOp, value: Value, bench: Bench) -> list[Any]:
    """A training, taken up again where a killed run left it."""
    from lottoc.training.loop import train
    from lottoc.training.spec import TrainingSpec
    from lottoc.training.state import State

    spec: Any = TrainingSpec.from_options(from_dictionary(op.training))
    model = value(model_op(op.weights).result)
    first, last = op.first.value.data, op.last.value.data
    state, start, optimizer = value(op.weights), first, op.optimizer.data
    partial = bench.store.get_partial(bench.key)
    if partial is not None:
        state = State.load(partial)
        start, optimizer = state.step, lotto.KEEP
    masks = arrays(value(op.masks)) if op.masks is not None else None
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
            optimizer=cast(Any, optimizer),
            frozen=op.frozen is not None,
            constant_lr_at=op.lr_at.value.data if op.lr_at else None,
            progress=advance,
            checkpoint=lambda s: bench.store.put_partial(bench.key, s.save),
        )
    return [result]


def train_sparse(op: lotto.TrainSparseOp, value: Value, bench: Bench) -> list[Any]:
    """A training whose masks move."""
    from lottoc.engine.sparse import train_sparse

    return train_sparse(op, value, bench)


def gather_stored(op: lotto.GatherOp, value: Value, bench: Bench) -> list[Any]:
    """A statistic that is kept."""
    return [gather(op, value, bench.progress)]


def reconstruct(op: lotto.ReconstructOp, value: Value, bench: Bench) -> list[Any]:
    """Masks and the weights solved for with them."""
    from lottoc.engine.calibrate import solve

    solved = solve(op, value, bench)
    return [solved, solved]


def evaluate(op: lotto.EvaluateOp, value: Value, bench: Bench) -> list[Any]:
    """A metric of a network over a split."""
    if op.metric.data == "perplexity":
        from lottoc.engine.calibrate import perplexity

        return [perplexity(op, value, bench)]
    from lottoc.training.loop import evaluate

    model = value(model_op(op.weights).result)
    options: Any = from_dictionary(op.training)
    state = value(op.weights)
    if op.masks is not None:
        state = state.under(arrays(value(op.masks)))
    metrics = evaluate(model.build(0), state, value(op.data).split(op.split.data), **options)
    return [float(metrics[op.metric.data])]


def proxy(op: lotto.ProxyOp, value: Value, bench: Bench) -> list[Any]:
    """A zero-cost proxy of a network at its start."""
    from lottoc.statistics.network import TorchNetwork
    from lottoc.training.settings import fixed_threads

    proxy = build(proxy_class(op.proxy.data), from_dictionary(op.options))
    with fixed_threads(1):
        module = value(model_op(op.weights).result).build(0)
        data = value(op.data).split(op.split.data)
        network = TorchNetwork.of(module, value(op.weights), data)
        return [float(proxy.measure(network, strings(op.layers)))]


def measure(op: lotto.MeasureOp, value: Value, bench: Bench) -> list[Any]:
    """What masks alone say."""
    masks: Mapping[str, Mask] = value(op.masks)
    kept = sum(m.kept for m in masks.values())
    size = sum(m.size for m in masks.values())
    match op.metric.data:
        case "sparsity":
            return [1 - kept / size]
        case "params":
            model = model_op(op.masks)
            rest = sum(a.layer.size for a in model.layers if a.layer.name not in masks)
            return [float(kept + rest)]
        case _:
            return [float(signal.collapsed(op, value))]


def wiring(op: lotto.WiringOp, value: Value, bench: Bench) -> list[Any]:
    """The graph in which layers are joined."""
    return [signal.wiring(op, value)]
