"""Counts multiply-adds: where one example uses the weights of a network, and which are left."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lottoc.engine.bench import Bench, Value
from lottoc.engine.models import model_op
from lottoc.ir import lotto
from lottoc.masks.mask import Mask

Places = Mapping[str, NDArray[np.float64]]
"""By layer, at how many places its weights are used; broadcasts to the weight."""


def places(op: lotto.PlacesOp, value: Value, bench: Bench) -> list[Places]:
    """The network runs on one example, or on its shape."""
    source, model = model_op(op.model), value(op.model)
    data = value(op.data).split(op.split.data) if op.data and op.split else None
    if source.source.data == "onnx":
        from lottoc.frontends.onnx_places import onnx_places

        return [onnx_places(model, data)]
    if source.source.data in ("hf", "gguf"):
        from lottoc.frontends.hf_places import hf_places

        return [hf_places(model, data)]
    return [_torch(source, model, data)]


def _torch(source: lotto.ModelOp, model: Any, data: Any) -> Places:
    from lottoc.frontends.torch_places import run_example, torch_places
    from lottoc.layerwise.torch_batches import examples_of
    from lottoc.training.settings import fixed_threads

    layers = [attribute.layer.name for attribute in source.layers]
    module, x = model.build(0), examples_of(data)[:1]
    with fixed_threads(1):
        return torch_places(module, layers, lambda: run_example(module, x), source.path.data)


def flops(op: lotto.FlopsOp, value: Value, bench: Bench) -> list[float]:
    """Multiply-adds of an example, each counted once."""
    masks: Mapping[str, Mask] = value(op.masks) if op.masks is not None else {}
    layers = {a.layer.name: a.layer.shape for a in model_op(op.places).layers}
    return [count(value(op.places), layers, masks)]


def count(
    places: Places, layers: Mapping[str, tuple[int, ...]], masks: Mapping[str, Mask]
) -> float:
    """Σ kept · places over the weights of all layers; one without a mask keeps everything.

    `layers` has the shapes of their weights. Exact below 2^53 (Evci et al. 2020, appendix H, count
    the multiply-adds of a sparse network so).
    """
    total = 0.0
    for name, shape in layers.items():
        used, mask = np.asarray(places[name]), masks.get(name)
        if used.size == 1:
            kept = math.prod(shape) if mask is None else mask.kept
            total += kept * float(used.reshape(()))
        elif mask is None:
            total += float(used.sum()) * (math.prod(shape) // used.size)
        else:
            alike = tuple(axis for axis, size in enumerate(used.shape) if size == 1)
            kept_there = mask.to_bool().sum(axis=alike, keepdims=True, dtype=np.int64)
            total += float((kept_there * used).sum())
    return total
