"""Computes what looks at the inputs of layers: statistics, and reconstruction layer by layer."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from lottoc.criteria import solver_class
from lottoc.fields import build
from lottoc.ir import lotto
from lottoc.ir.plain import from_dictionary, strings
from lottoc.layerwise.network import Calibration
from lottoc.layerwise.reconstruct import Solved, reconstruct
from lottoc.layerwise.results import Joined, JustSolved, SolvedFile, changed_layer, save
from lottoc.layerwise.walk import Batch, Walk
from lottoc.masks.mask import Mask
from lottoc.masks.patterns import parse
from lottoc.progress import Progress
from lottoc.statistics import statistic_class

if TYPE_CHECKING:
    from lottoc.engine.bench import Bench, Value
    from lottoc.engine.store import Store


def walk_of(
    weights: SSAValue, data: Any, value: Value, masks: Mapping[str, Mask] | None = None
) -> tuple[Walk, Sequence[Batch]]:
    """A network with these weights, and the examples as it wants them.

    A torch network may be under masks: it is scored again between two trainings.
    """
    from lottoc.engine.models import model_op

    op, held = model_op(weights), value(weights)
    model = value(op.result)
    if op.source.data == "torch":
        return _torch_walk(model, held, data, masks)
    return model.walk(lambda layer: changed_layer(held, layer)), model.batches(data)


def _torch_walk(
    model: Any, held: Any, data: Any, masks: Mapping[str, Mask] | None
) -> tuple[Walk, Sequence[Batch]]:
    from lottoc.layerwise.torch_batches import torch_batches
    from lottoc.layerwise.torch_walk import TorchWalk
    from lottoc.statistics.network import TorchNetwork

    batches, pruned = torch_batches(data), {n: m.to_bool() for n, m in (masks or {}).items()}
    module = TorchNetwork.of(model.build(0), held, None, pruned).module
    layers = [layer.name for layer in model.signature()]
    return TorchWalk(module, layers, batches[0], model.file), batches


def gather(op: lotto.GatherOp, value: Value, progress: Progress) -> Mapping[str, NDArray[Any]]:
    """A statistic of activations, over the network as it is."""
    assert op.data is not None
    assert op.split is not None
    data = value(op.data).split(op.split.data)
    layers = strings(op.layers)
    masks = value(op.masks) if op.masks is not None else None
    walk, batches = walk_of(op.weights, data, value, masks)
    statistic = build(statistic_class(op.statistic.data), from_dictionary(op.options))
    with progress.task("running the network on calibration data", walk.count(layers)) as advance:
        return statistic.gather(Calibration(walk, batches, advance), layers)


def perplexity(op: lotto.EvaluateOp, value: Value, bench: Bench) -> float:
    """exp of the mean negative log-likelihood of a token, as in the papers on pruning.

    Examples are cut from the text one after another, each predicted by itself. Masks take weights
    out, which are zero in what a reconstruction makes of them anyway.
    """
    from lottoc.engine.models import model_op

    data = value(op.data).split(op.split.data)
    masks = value(op.masks) if op.masks is not None else {}
    held = value(op.weights)

    def changed(layer: str) -> NDArray[Any] | None:
        new = changed_layer(held, layer)
        if layer not in masks:
            return new
        return np.where(masks[layer].to_bool(), held.layer(layer), 0)

    model = value(model_op(op.weights).result)
    batches = model.batches(data)
    walk = model.walk(changed)
    with bench.progress.task("measuring perplexity", len(model.blocks)) as advance:
        return math.exp(min(walk.nll(batches, advance), 700.0))


def solve(op: lotto.ReconstructOp, value: Value, bench: Bench) -> Joined:
    """Prune and change layer after layer; what is done is kept, so that a killed run goes on."""
    from lottoc.engine.models import layer_of

    layers = strings(op.layers)
    shapes = [layer_of(op.weights, name).shape for name in layers]
    pattern, density = parse(op.pattern.data), Fraction(op.density.data)
    counts = pattern.counts(op.scope.data, shapes, density)
    data = value(op.data).split(op.split.data)
    walk, batches = walk_of(op.weights, data, value)
    solver = build(solver_class(op.criterion.data), from_dictionary(op.options))
    finished = _Parts(bench.store, bench.key, layers)
    weights = value(op.weights)
    what = f"pruning layer by layer with {op.criterion.data}"
    with bench.progress.task(what, walk.count(layers)) as advance:
        kept = dict(zip(layers, counts, strict=True))
        reconstruct(walk, batches, kept, pattern, solver, weights.layer, finished, advance)
    return Joined([finished.path(name) for name in finished.stages], layers)


@dataclass
class _Parts:
    """What came of each stage, as checkpoints in the store: one file a stage.

    The first layer of a stage names it, so that a run which goes on knows what is there.
    """

    store: Store
    key: str
    layers: Sequence[str]
    stages: dict[str, Path] = field(default_factory=dict)
    _of: dict[str, SolvedFile] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for layer in self.layers:
            path = self.store.get_partial(self._key(layer))
            if path is not None:
                self._open(layer, path)

    def _key(self, layer: str) -> str:
        return hashlib.sha256(f"{self.key} {layer}".encode()).hexdigest()

    def _open(self, first: str, path: Path) -> None:
        file = SolvedFile(path)
        self.stages[first] = path
        self._of |= dict.fromkeys(file.layers, file)

    def __contains__(self, layer: object) -> bool:
        return layer in self._of

    def path(self, first: str) -> Path:
        """The file of a stage."""
        return self.stages[first]

    def load(self, layer: str) -> Solved:
        """What came of a layer."""
        file = self._of[layer]
        return Solved(file.weight(layer), file.mask(layer).to_bool())

    def save(self, solved: Mapping[str, Solved]) -> None:
        """Keep a stage."""
        first, key = next(iter(solved)), self._key(next(iter(solved)))
        self.store.put_partial(key, lambda path: save(path, JustSolved(solved)))
        path = self.store.get_partial(key)
        assert path is not None
        self._open(first, path)


def drop_parts(store: Store, key: str, layers: Sequence[str]) -> None:
    """Forget the stages of a reconstruction that is now finished."""
    parts = _Parts(store, key, ())
    for layer in layers:
        store.drop_partial(parts._key(layer))
