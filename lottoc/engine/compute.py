"""How each operation of mask IR is computed.

`STORED` results are worth keeping; `TRANSIENT` ones are cheaper to make again where they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
from xdsl.dialects import arith
from xdsl.ir import Operation

from lottoc.criteria import criterion_class
from lottoc.engine import choose, flops, networks, subset
from lottoc.engine.bench import Bench, Value
from lottoc.engine.models import DataPart, DataSet, layer_of, model_op
from lottoc.fields import build
from lottoc.ir import lotto, mask
from lottoc.ir.plain import from_dictionary, strings
from lottoc.masks.mask import Mask
from lottoc.partition import part_of


class Weights(Protocol):
    """All weights of a network; `OnnxModel` and `State` are such."""

    def layer(self, name: str) -> np.ndarray:
        """The weight of a layer in canonical layout."""


def _data(op: lotto.DataOp, value: Value) -> DataSet:
    return DataSet(from_dictionary(op.splits))


def _part(op: lotto.PartOp, value: Value) -> DataPart:
    return DataPart(value(op.data), part_of(from_dictionary(op.examples)))


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


def _interpolate(op: lotto.InterpolateOp, value: Value) -> Any:
    from lottoc.training.interpolate import interpolate

    setting: Any = from_dictionary(op.training)
    return interpolate(
        value(model_op(op.weights).result).build(0),
        value(op.weights),
        value(op.other),
        Fraction(op.at.data),
        value(op.data).split("train"),
        setting.get("threads", 1),
    )


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


def _bundle(op: mask.BundleOp, value: Value) -> dict[str, Mask]:
    return {n: value(m) for n, m in zip(strings(op.layers), op.masks, strict=True)}


def _initial(op: lotto.InitOp, value: Value) -> Any:
    return value(op.model)


TRANSIENT: Mapping[type[Operation], Callable[[Any, Value], Any]] = {
    lotto.DataOp: _data,
    lotto.PartOp: _part,
    lotto.InitOp: _initial,
    lotto.GatherOp: networks.gather,
    mask.WeightOp: _weight,
    mask.LayerOp: _layer,
    lotto.DifferenceOp: _difference,
    lotto.InterpolateOp: _interpolate,
    mask.ScoreOp: _score,
    mask.BundleOp: _bundle,
}


STORED: Mapping[type[Operation], Callable[[Any, Value, Bench], list[Any]]] = {
    lotto.InitOp: networks.init,
    lotto.SignsOp: networks.signs,
    lotto.GraftOp: networks.graft,
    lotto.TrainOp: networks.train,
    lotto.GatherOp: networks.gather_stored,
    lotto.TrainSparseOp: networks.train_sparse,
    lotto.ReconstructOp: networks.reconstruct,
    lotto.SubsetSumOp: subset.solve,
    lotto.ApproximationOp: subset.measure,
    lotto.EvaluateOp: networks.evaluate,
    lotto.ProxyOp: networks.proxy,
    lotto.MeasureOp: networks.measure,
    lotto.PlacesOp: flops.places,
    lotto.FlopsOp: flops.flops,
    lotto.WiringOp: networks.wiring,
    mask.RepairOp: choose.repair,
    mask.KeepOp: choose.keep,
    mask.OrderOp: choose.order,
    mask.KeepGlobalOp: choose.keep_global,
    mask.KeepSharesOp: choose.keep_shares,
    mask.AndOp: choose.binary,
    mask.OrOp: choose.binary,
    mask.XorOp: choose.binary,
    mask.SubOp: choose.binary,
    mask.NotOp: choose.invert,
    mask.ShuffleOp: choose.shuffled,
}

ARITHMETIC: Mapping[type[Operation], Callable[[float, float], float]] = {
    arith.AddfOp: lambda a, b: a + b,
    arith.SubfOp: lambda a, b: a - b,
    arith.MulfOp: lambda a, b: a * b,
    arith.DivfOp: lambda a, b: a / b if b else float("nan"),
}
