"""How each operation of mask IR is computed, and how its result is kept.

`STORED` results are worth keeping; `TRANSIENT` ones are cheaper to make again where they are used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from xdsl.dialects import arith
from xdsl.ir import Operation, SSAValue

from lottoc.criteria import criterion_class
from lottoc.diagnostics import Diagnostic, RecipeError, input_error
from lottoc.engine import signal
from lottoc.engine.store import Store
from lottoc.fields import build
from lottoc.ir import lotto, mask
from lottoc.ir.place import labels
from lottoc.ir.plain import from_dictionary, strings
from lottoc.ir.types import LayerMaskType
from lottoc.masks.mask import Mask, load_masks, save_masks, shuffle
from lottoc.masks.patterns import Pattern
from lottoc.masks.select import Each, NonFiniteScores, check_finite
from lottoc.masks.wiring_file import load_wiring, save_wiring
from lottoc.progress import Progress, Silent
from lottoc.proxies import proxy_class
from lottoc.signature import Layer
from lottoc.statistics import statistic_class

Value = Callable[[SSAValue], Any]
"""Gives the result that an SSA value stands for."""


class Weights(Protocol):
    """All weights of a network; `OnnxModel` and `State` are such."""

    def layer(self, name: str) -> np.ndarray:
        """The weight of a layer in canonical layout."""


@dataclass(frozen=True)
class Bench:
    """What a computation has beside its operands."""

    store: Store
    progress: Progress
    key: str
    label: str


@dataclass(frozen=True)
class Kind:
    """How results of one kind are written to a file and read back."""

    suffix: str
    save: Callable[[Path, Sequence[Any]], None]
    load: Callable[[Path], Sequence[Any]]


def _save_numbers(path: Path, results: Sequence[Any]) -> None:
    path.write_text(json.dumps(list(results)))


def _load_numbers(path: Path) -> Sequence[Any]:
    return [float(number) for number in json.loads(path.read_bytes())]


def _save_masks(path: Path, results: Sequence[Any]) -> None:
    save_masks(path, {str(index): result for index, result in enumerate(results)})


def _load_masks(path: Path) -> Sequence[Any]:
    masks = load_masks(path)
    return [masks[str(index)] for index in range(len(masks))]


def _save_wiring(path: Path, results: Sequence[Any]) -> None:
    save_wiring(path, results[0])


def _load_wiring(path: Path) -> Sequence[Any]:
    return [load_wiring(path)]


def _save_state(path: Path, results: Sequence[Any]) -> None:
    results[0].save(path)


def _load_state(path: Path) -> Sequence[Any]:
    from lottoc.training.state import State

    return [State.load(path)]


def _save_statistic(path: Path, results: Sequence[Any]) -> None:
    from lottoc.statistics.files import save

    save(path, results[0])


def _load_statistic(path: Path) -> Sequence[Any]:
    from lottoc.statistics.files import StoredStatistic

    return [StoredStatistic(path)]


def _save_orders(path: Path, results: Sequence[Any]) -> None:
    path.write_text(json.dumps([order.tolist() for order in results]))


def _load_orders(path: Path) -> Sequence[Any]:
    return [np.array(order, np.int64) for order in json.loads(path.read_bytes())]


def _save_solved(path: Path, results: Sequence[Any]) -> None:
    from lottoc.layerwise.results import save

    save(path, results[1])


def _load_solved(path: Path) -> Sequence[Any]:
    from lottoc.layerwise.results import SolvedFile, StoredMasks

    file = SolvedFile(path)
    return [StoredMasks(file), file]


def _save_sparse(path: Path, results: Sequence[Any]) -> None:
    masks, state = results
    state.with_masks(_arrays(masks)).save(path)


def _load_sparse(path: Path) -> Sequence[Any]:
    from lottoc.training.state import State

    state = State.load(path)
    return [state.masks(), state.without_masks()]


NUMBERS = Kind(".json", _save_numbers, _load_numbers)
ORDERS = Kind(".json", _save_orders, _load_orders)
MASKS = Kind(".masks", _save_masks, _load_masks)
STATE = Kind(".state", _save_state, _load_state)
STATISTIC = Kind(".statistic", _save_statistic, _load_statistic)
SPARSE = Kind(".state", _save_sparse, _load_sparse)
"""Masks and weights that were trained together."""
WIRING = Kind(".wiring", _save_wiring, _load_wiring)
SOLVED = Kind(".solved", _save_solved, _load_solved)
"""Masks and weights that were solved for together."""


def kind_of(op: Operation) -> Kind | None:
    """How the results of an operation are kept; None if they are not."""
    match op:
        case lotto.TrainOp() | lotto.SignsOp():
            return STATE
        case lotto.TrainSparseOp():
            return SPARSE
        case mask.LayerOp():
            return None
        case lotto.InitOp():
            return STATE if model_op(op.model).source.data == "torch" else None
        case lotto.EvaluateOp() | lotto.MeasureOp() | lotto.ProxyOp():
            return NUMBERS
        case mask.OrderOp():
            return ORDERS
        case lotto.ReconstructOp():
            return SOLVED
        case lotto.GatherOp():
            # under masks it serves one round of many, whose outcome, the masks, is kept
            return STATISTIC if op.masks is None else None
        case lotto.WiringOp():
            return WIRING
        case _ if op.results and isinstance(op.results[0].type, LayerMaskType):
            return MASKS
    return None


def model_op(value: SSAValue) -> lotto.ModelOp:
    """The model operation that a whole-network value comes from."""
    owner = value.owner
    if isinstance(owner, lotto.ModelOp):
        return owner
    assert isinstance(owner, Operation)
    name = lotto.model_of(value)
    block = owner.parent_block()
    assert block is not None
    return next(o for o in block.ops if isinstance(o, lotto.ModelOp) and o.model.data == name)


def layer_of(value: SSAValue, name: str) -> Layer:
    """A layer of the model that a whole-network value belongs to."""
    return next(a.layer for a in model_op(value).layers if a.layer.name == name)


def open_model(source: str, path: str, function: str) -> Any:
    """The model behind a model operation, opened once a process as long as its file stays."""
    return _open_model(source, os.path.abspath(path), function, _edition(path))


def _edition(path: str | Path) -> tuple[int, int]:
    """What changes when a file does."""
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=8)
def _open_model(source: str, path: str, function: str, edition: tuple[int, int]) -> Any:
    if source == "onnx":
        from lottoc.frontends.onnx_model import open_onnx

        return open_onnx(Path(path))
    if source in ("hf", "gguf"):
        from lottoc.engine.store import Store, default_root
        from lottoc.frontends.hf_model import open_hf

        return open_hf(source, Path(path), Store(default_root()))
    from lottoc.frontends.torch_model import open_torch

    return open_torch(Path(path), function)


@lru_cache(maxsize=4)
def _open_npz(source: Any, folder: str, edition: tuple[int, int]) -> Any:
    from lottoc.frontends.data import open_npz

    return open_npz(source)


@dataclass(frozen=True)
class DataSet:
    """A data set whose splits are read when first used."""

    splits: Mapping[str, Any]

    def split(self, name: str) -> Any:
        """The arrays of a split of an npz file; of others, where they come from."""
        from lottoc.lower.splits import NpzSplit, split_of

        split = split_of(self.splits[name])
        source = split.source(name)
        if not isinstance(split, NpzSplit):
            return source
        return _open_npz(source, os.getcwd(), _edition(split.path))


def _model(op: lotto.ModelOp, value: Value) -> Any:
    return open_model(op.source.data, op.path.data, op.function.data if op.function else "")


def _data(op: lotto.DataOp, value: Value) -> DataSet:
    return DataSet(from_dictionary(op.splits))


def _weight(op: mask.WeightOp, value: Value) -> np.ndarray:
    weights: Weights = value(op.weights)
    return weights.layer(op.layer.data)


@dataclass(frozen=True)
class _Difference:
    """Weights less others, a layer at a time."""

    weights: Weights
    origin: Weights

    def layer(self, name: str) -> np.ndarray:
        """In float32, or float64 for float64 weights."""
        weight, origin = self.weights.layer(name), self.origin.layer(name)
        wide = np.result_type(weight.dtype, np.float32)
        moved: np.ndarray = np.subtract(weight.astype(wide), origin.astype(wide))
        return moved


def _difference(op: lotto.DifferenceOp, value: Value) -> _Difference:
    return _Difference(value(op.weights), value(op.origin))


def _layer(op: mask.LayerOp, value: Value) -> Mask:
    masks: Mapping[str, Mask] = value(op.masks)
    return masks[op.layer.data]


def _score(op: mask.ScoreOp, value: Value) -> np.ndarray:
    options: Any = from_dictionary(op.options)
    criterion = build(criterion_class(op.criterion.data), options)
    weight = op.weight.owner
    assert isinstance(weight, mask.WeightOp)
    layer = layer_of(weight.weights, op.layer.data)
    statistic = value(op.statistics)[layer.name] if op.statistics is not None else None
    scores = criterion.score(value(op.weight), layer, statistic)
    return scores if op.inverted is None else np.negative(scores)


def _gather(
    op: lotto.GatherOp, value: Value, progress: Progress | None = None
) -> Mapping[str, np.ndarray]:
    shape = statistic_class(op.statistic.data)
    if "activations" in shape.needs and "gradients" not in shape.needs:
        from lottoc.engine.calibrate import gather

        return gather(op, value, progress or Silent())
    return _differentiate(op, value)


def _differentiate(op: lotto.GatherOp, value: Value) -> Mapping[str, np.ndarray]:
    from lottoc.statistics.network import TorchNetwork
    from lottoc.training.settings import fixed_threads

    statistic = build(statistic_class(op.statistic.data), from_dictionary(op.options))
    setting: Any = from_dictionary(op.training)
    assert (op.data is None) == (op.split is None)
    data = value(op.data).split(op.split.data) if op.data and op.split else None
    masks = _arrays(value(op.masks)) if op.masks is not None else None
    with fixed_threads(setting.get("threads", 1)):
        network = TorchNetwork.of(
            value(model_op(op.weights).result).build(0),
            value(op.weights),
            data,
            masks,
            setting.get("loss", "cross_entropy"),
        )
        return statistic.gather(network, strings(op.layers))


def _bundle(op: mask.BundleOp, value: Value) -> dict[str, Mask]:
    return {n: value(m) for n, m in zip(strings(op.layers), op.masks, strict=True)}


def _initial(op: lotto.InitOp, value: Value) -> Any:
    return value(op.model)


TRANSIENT: Mapping[type[Operation], Callable[[Any, Value], Any]] = {
    lotto.ModelOp: _model,
    lotto.DataOp: _data,
    lotto.InitOp: _initial,
    lotto.GatherOp: _gather,
    mask.WeightOp: _weight,
    mask.LayerOp: _layer,
    lotto.DifferenceOp: _difference,
    mask.ScoreOp: _score,
    mask.BundleOp: _bundle,
}


def _init(op: lotto.InitOp, value: Value, bench: Bench) -> list[Any]:
    return [value(op.model).initial_state(op.seed.value.data)]


def _signs(op: lotto.SignsOp, value: Value, bench: Bench) -> list[Any]:
    from lottoc.training.state import signed_constant

    return [signed_constant(value(op.weights), strings(op.layers))]


def _train(op: lotto.TrainOp, value: Value, bench: Bench) -> list[Any]:
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
    masks = _arrays(value(op.masks)) if op.masks is not None else None
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


def _train_sparse(op: lotto.TrainSparseOp, value: Value, bench: Bench) -> list[Any]:
    from lottoc.engine.sparse import train_sparse

    return train_sparse(op, value, bench)


def _arrays(masks: Mapping[str, Mask]) -> dict[str, np.ndarray]:
    return {name: m.to_bool() for name, m in masks.items()}


def _gather_stored(op: lotto.GatherOp, value: Value, bench: Bench) -> list[Any]:
    return [_gather(op, value, bench.progress)]


def _reconstruct(op: lotto.ReconstructOp, value: Value, bench: Bench) -> list[Any]:
    from lottoc.engine.calibrate import solve

    solved = solve(op, value, bench)
    return [solved, solved]


def _evaluate(op: lotto.EvaluateOp, value: Value, bench: Bench) -> list[Any]:
    if op.metric.data == "perplexity":
        from lottoc.engine.calibrate import perplexity

        return [perplexity(op, value, bench)]
    from lottoc.training.loop import evaluate

    model = value(model_op(op.weights).result)
    options: Any = from_dictionary(op.training)
    metrics = evaluate(
        model.build(0), value(op.weights), value(op.data).split(op.split.data), **options
    )
    return [float(metrics[op.metric.data])]


def _proxy(op: lotto.ProxyOp, value: Value, bench: Bench) -> list[Any]:
    from lottoc.statistics.network import TorchNetwork
    from lottoc.training.settings import fixed_threads

    proxy = build(proxy_class(op.proxy.data), from_dictionary(op.options))
    with fixed_threads(1):
        module = value(model_op(op.weights).result).build(0)
        data = value(op.data).split(op.split.data)
        network = TorchNetwork.of(module, value(op.weights), data)
        return [float(proxy.measure(network, strings(op.layers)))]


def _measure(op: lotto.MeasureOp, value: Value, bench: Bench) -> list[Any]:
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


def _keep(op: mask.KeepOp, value: Value, bench: Bench) -> list[Any]:
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


def _order(op: mask.OrderOp, value: Value, bench: Bench) -> list[Any]:
    from lottoc.masks.permute import search_shared_order

    with _selecting(op, op.scores):
        scores = Each(op.scores, value)
        for position, layer in enumerate(scores):
            check_finite(layer, position)
        return [search_shared_order(scores, op.n.value.data, op.m.value.data)]


def _keep_global(op: mask.KeepGlobalOp, value: Value, bench: Bench) -> list[Any]:
    pattern, scores = mask.mask_type(op.masks[0]).pattern, Each(op.scores, value)
    within = Each([value(m) for m in op.within], Mask.to_bool) if op.within else None
    masks = []
    with _selecting(op, op.scores):
        for result in pattern.keep_together(scores, op.kept.value.data, within):
            _check_law(pattern, result, None, within is not None)
            masks.append(Mask.from_bool(result))
    return masks


def _keep_shares(op: mask.KeepSharesOp, value: Value, bench: Bench) -> list[Any]:
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


def _wiring(op: lotto.WiringOp, value: Value, bench: Bench) -> list[Any]:
    return [signal.wiring(op, value)]


def _repair(op: mask.RepairOp, value: Value, bench: Bench) -> list[Any]:
    with _selecting(op, op.scores):
        return list(signal.repair(op, value))


def _binary(op: Any, value: Value, bench: Bench) -> list[Any]:
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


def _not(op: mask.NotOp, value: Value, bench: Bench) -> list[Any]:
    return [~value(op.mask)]


def _shuffle(op: mask.ShuffleOp, value: Value, bench: Bench) -> list[Any]:
    return [shuffle(value(op.mask), op.seed.value.data, op.layer.data)]


STORED: Mapping[type[Operation], Callable[[Any, Value, Bench], list[Any]]] = {
    lotto.InitOp: _init,
    lotto.SignsOp: _signs,
    lotto.TrainOp: _train,
    lotto.GatherOp: _gather_stored,
    lotto.TrainSparseOp: _train_sparse,
    lotto.ReconstructOp: _reconstruct,
    lotto.EvaluateOp: _evaluate,
    lotto.ProxyOp: _proxy,
    lotto.MeasureOp: _measure,
    lotto.WiringOp: _wiring,
    mask.RepairOp: _repair,
    mask.KeepOp: _keep,
    mask.OrderOp: _order,
    mask.KeepGlobalOp: _keep_global,
    mask.KeepSharesOp: _keep_shares,
    mask.AndOp: _binary,
    mask.OrOp: _binary,
    mask.XorOp: _binary,
    mask.SubOp: _binary,
    mask.NotOp: _not,
    mask.ShuffleOp: _shuffle,
}

ARITHMETIC: Mapping[type[Operation], Callable[[float, float], float]] = {
    arith.AddfOp: lambda a, b: a + b,
    arith.SubfOp: lambda a, b: a - b,
    arith.MulfOp: lambda a, b: a * b,
    arith.DivfOp: lambda a, b: a / b if b else float("nan"),
}
