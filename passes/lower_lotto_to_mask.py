"""Lower whole-network scoring, pruning and mask algebra to operations on single layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, StringAttr, i64
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from lottoc import criteria
from lottoc.ir import lotto, mask
from lottoc.ir.amounts import GLOBAL
from lottoc.ir.place import pass_failed
from lottoc.ir.plain import from_dictionary, string_array, strings, to_dictionary
from lottoc.ir.types import LayerMaskType, LayerScoresType, StatisticsType, WeightType
from lottoc.masks.allocate import BY_SCORES, pruned_count
from lottoc.masks.patterns import UNSTRUCTURED, Pattern, parse
from lottoc.masks.patterns.nm import NofM
from lottoc.passes.orders import orders, with_orders
from lottoc.signature import Layer

PerLayer = Mapping[str, SSAValue]


@dataclass
class _Lowering:
    """Keeps, for each whole-network value, the values of its layers."""

    layers: Mapping[str, Mapping[str, Layer]]
    """Layers by model and name."""
    scores: dict[SSAValue, PerLayer] = field(default_factory=dict)
    masks: dict[SSAValue, PerLayer] = field(default_factory=dict)
    lowered: list[Operation] = field(default_factory=list)

    def lower(self, op: Operation) -> None:
        match op:
            case lotto.ScoreOp():
                self.scores[op.result] = self._score(op)
            case lotto.PruneOp():
                self._masks(op, self._prune(op))
            case lotto.AndOp() | lotto.OrOp() | lotto.XorOp() | lotto.SubOp():
                self._masks(op, self._binary(op))
            case lotto.NotOp():
                self._masks(op, self._unary(op))
            case lotto.ShuffleOp():
                self._masks(op, self._shuffle(op))
            case lotto.RepairOp():
                self._masks(op, self._repair(op))
            case lotto.TrainSparseOp() | lotto.ReconstructOp() | lotto.SubsetSumOp():
                self._moved(op)
                return
            case lotto.EmitOp() if op.masks in self.masks:
                ordered = with_orders(op, self.masks[op.masks])
                if ordered is None:
                    return
                self._insert(op, ordered)
            case mask.BundleOp():
                self.masks[op.result] = dict(zip(strings(op.layers), op.masks, strict=True))
                return
            case _:
                return
        self.lowered.append(op)

    def _masks(self, op: Any, per_layer: PerLayer) -> None:
        """`mask.bundle` takes the place of a whole-network value for whoever still wants one."""
        bundle = self._add(
            op,
            mask.BundleOp.build(
                operands=[list(per_layer.values())],
                properties={"layers": string_array(list(per_layer))},
                result_types=[op.result.type],
            ),
        )
        self.masks[bundle] = per_layer
        op.result.replace_all_uses_with(bundle)

    def _of(self, op: Operation, value: SSAValue, names: Sequence[str] = ()) -> PerLayer:
        """The masks of single layers that a whole-network value is made of."""
        if value not in self.masks:
            finder = "run unroll-methods first: a ticket that is not found yet has no layers"
            raise pass_failed(op, f"{op.name} takes masks that are not lowered", (finder,))
        per_layer = self.masks[value]
        for name in names:
            if name not in per_layer:
                raise pass_failed(op, f'there is no earlier mask of layer "{name}"')
        return per_layer

    @staticmethod
    def _insert(before: Operation, op: Operation) -> None:
        op.location = before.location
        Builder(InsertPoint.before(before)).insert(op)

    @staticmethod
    def _add(before: Operation, op: Operation) -> SSAValue:
        _Lowering._insert(before, op)
        return op.results[0]

    def _score(self, op: lotto.ScoreOp) -> PerLayer:
        """`lotto.score "c" %w` -> `mask.score "c" (mask.weight of %w)` for each layer

        With a `lotto.gather` in front, once for all layers, if the criterion looks at the network.
        """
        known = self.layers[lotto.model_of(op.weights)]
        statistics = self._gather(op)
        result: dict[str, SSAValue] = {}
        for name in strings(op.layers):
            shape = known[name].shape
            weight = self._add(
                op,
                mask.WeightOp.build(
                    operands=[op.weights],
                    properties={"layer": StringAttr(name)},
                    result_types=[WeightType(shape)],
                ),
            )
            properties: dict[str, Attribute] = {
                "criterion": op.criterion,
                "layer": StringAttr(name),
                "options": op.options,
            }
            if op.inverted is not None:
                properties["inverted"] = op.inverted
            result[name] = self._add(
                op,
                mask.ScoreOp.build(
                    operands=[weight, statistics],
                    properties=properties,
                    result_types=[LayerScoresType(shape)],
                ),
            )
        return result

    def _gather(self, op: lotto.ScoreOp) -> SSAValue | None:
        name = op.criterion.data
        if name not in criteria.CRITERIA or not (
            wanted := criteria.criterion_class(name).statistic
        ):
            return None
        if op.data is None and "inputs" in criteria.needs(name):
            help = (f'write  {op.name} "{name}" %weights on %data',)
            raise pass_failed(op, f'"{name}" looks at data, and there is none', help)
        given: Any = from_dictionary(op.options)
        properties: dict[str, Attribute] = {
            "statistic": StringAttr(wanted),
            "options": to_dictionary(criteria.statistic_options(name, given)),
            "layers": op.layers,
        }
        if op.split is not None:
            properties |= {"split": op.split, "training": op.training or to_dictionary({})}
        return self._add(
            op,
            lotto.GatherOp.build(
                operands=[op.weights, op.data, op.masks],
                properties=properties,
                result_types=[StatisticsType(lotto.model_of(op.weights))],
            ),
        )

    def _prune(self, op: lotto.PruneOp) -> PerLayer:
        """The counts that scope and pattern say, each layer's by itself or of all together."""
        names = strings(op.layers)
        scores = [self.scores[op.scores][name] for name in names]
        earlier = self._of(op, op.within, names) if op.within else None
        within = [earlier[name] for name in names] if earlier is not None else []
        pattern, density = parse(op.pattern.data), Fraction(op.density.data)
        _check_fit(op, scores, pattern)
        if op.scope.data in BY_SCORES and pattern.density is None:
            kept = self._keep_shares(op, scores, within, pattern)
        elif op.scope.data == GLOBAL and pattern.ranks_together:
            kept = self._keep_global(op, scores, within, pattern)
        else:
            shapes = [mask.scores_type(score).shape for score in scores]
            scope = "uniform" if op.scope.data in BY_SCORES else op.scope.data
            counts = pattern.counts(scope, shapes, density)
            ordered = self._orders(op, dict(zip(names, scores, strict=True)), earlier or {})
            kept = [
                self._keep(op, score, before, count, pattern, ordered.get(name))
                for name, (score, before), count in zip(
                    names, _with(scores, within), counts, strict=True
                )
            ]
        return dict(zip(names, kept, strict=True))

    def _orders(self, op: lotto.PruneOp, scores: PerLayer, within: PerLayer) -> PerLayer:
        pattern = parse(op.pattern.data)
        if not isinstance(pattern, NofM) or pattern.in_order is None:
            return {}
        layers = self.layers[lotto.model_of(op.scores)]
        return orders(pattern, scores, within, layers, lambda new: self._add(op, new))

    def _keep(
        self,
        op: Operation,
        score: SSAValue,
        within: SSAValue | None,
        kept: int,
        pattern: Pattern,
        order: SSAValue | None,
    ) -> SSAValue:
        """A layer without an order of its own keeps what holds in an order as its channels are."""
        if order is None and pattern.in_order is not None:
            pattern = pattern.in_order
        return self._add(
            op,
            mask.KeepOp.build(
                operands=[score, within, order],
                properties={"kept": IntegerAttr(kept, i64)},
                result_types=[LayerMaskType(mask.scores_type(score).shape, pattern)],
            ),
        )

    @staticmethod
    def _keep_global(
        op: lotto.PruneOp,
        scores: Sequence[SSAValue],
        within: Sequence[SSAValue],
        pattern: Pattern,
    ) -> list[SSAValue]:
        size = sum(mask.scores_type(score).size for score in scores)
        kept = size - pruned_count(size, 1 - Fraction(op.density.data))
        types = [LayerMaskType(mask.scores_type(score).shape, pattern) for score in scores]
        keep = mask.KeepGlobalOp.build(
            operands=[scores, within],
            properties={"kept": IntegerAttr(kept, i64)},
            result_types=[types],
        )
        _Lowering._add(op, keep)
        return list(keep.masks)

    def _repair(self, op: lotto.RepairOp) -> PerLayer:
        """One `mask.repair` for all layers: what one gets depends on what the others keep."""
        kept = self._of(op, op.masks)
        names = list(kept)
        within = self._of(op, op.within, names) if op.within else {}
        scored = self.scores[op.scores]
        if missing := [name for name in names if name not in scored]:
            raise pass_failed(op, f'layer "{missing[0]}" is not scored')
        for name in names:
            if str(mask.mask_type(kept[name]).pattern) != UNSTRUCTURED:
                pattern = mask.mask_type(kept[name]).pattern
                raise pass_failed(
                    op, f'masks of pattern {pattern} cannot be repaired: layer "{name}"'
                )
        repair = mask.RepairOp.build(
            operands=[
                op.wiring,
                [scored[name] for name in names],
                list(kept.values()),
                [within[name] for name in names] if within else [],
            ],
            properties={"layers": string_array(names)},
            result_types=[[value.type for value in kept.values()]],
        )
        self._add(op, repair)
        return dict(zip(names, repair.masks, strict=True))

    @staticmethod
    def _keep_shares(
        op: lotto.PruneOp,
        scores: Sequence[SSAValue],
        within: Sequence[SSAValue],
        pattern: Pattern,
    ) -> list[SSAValue]:
        types = [LayerMaskType(mask.scores_type(score).shape, pattern) for score in scores]
        keep = mask.KeepSharesOp.build(
            operands=[scores, within],
            properties={"rule": op.scope, "density": op.density},
            result_types=[types],
        )
        _Lowering._add(op, keep)
        return list(keep.masks)

    def _binary(self, op: Any) -> PerLayer:
        lhs, rhs = self._of(op, op.lhs), self._of(op, op.rhs)
        if set(lhs) != set(rhs):
            only = min(set(lhs) ^ set(rhs))
            message = f'masks of different layers: "{only}" is only in one of them'
            raise pass_failed(op, message, ("find both tickets on the same layers",))
        layerwise = mask.LAYERWISE[op.name]
        return {name: self._add(op, layerwise(lhs[name], rhs[name])) for name in lhs}

    def _moved(self, op: lotto.TrainSparseOp | lotto.ReconstructOp | lotto.SubsetSumOp) -> None:
        """Some operations give all masks together: `mask.layer` takes them apart, a bundle of these
        stands for them wherever they are used."""
        if all(isinstance(use.operation, mask.LayerOp) for use in op.masks.uses):
            return
        known = self.layers[lotto.model_of(op.masks)]
        said = UNSTRUCTURED if isinstance(op, lotto.SubsetSumOp) else op.pattern.data
        pattern = parse(said)
        layers = {
            name: mask.LayerOp.build(
                operands=[op.masks],
                properties={"layer": StringAttr(name)},
                result_types=[LayerMaskType(known[name].shape, pattern)],
            )
            for name in strings(op.layers)
        }
        bundle = mask.BundleOp.build(
            operands=[[layer.result for layer in layers.values()]],
            properties={"layers": op.layers},
            result_types=[op.masks.type],
        )
        made = [*layers.values(), bundle]
        for new in made:
            new.location = op.location
        Builder(InsertPoint.after(op)).insert(made)
        op.masks.replace_uses_with_if(
            bundle.result, lambda use: not isinstance(use.operation, mask.LayerOp)
        )
        self.masks[bundle.result] = {name: layer.result for name, layer in layers.items()}

    def _unary(self, op: lotto.NotOp) -> PerLayer:
        return {
            name: self._add(
                op,
                mask.NotOp.build(
                    operands=[value], result_types=[LayerMaskType(mask.mask_type(value).shape)]
                ),
            )
            for name, value in self._of(op, op.masks).items()
        }

    def _shuffle(self, op: lotto.ShuffleOp) -> PerLayer:
        return {
            name: self._add(
                op,
                mask.ShuffleOp.build(
                    operands=[value],
                    properties={"seed": op.seed, "layer": StringAttr(name)},
                    result_types=[LayerMaskType(mask.mask_type(value).shape)],
                ),
            )
            for name, value in self._of(op, op.masks).items()
        }


def _check_fit(op: lotto.PruneOp, scores: Sequence[SSAValue], pattern: Pattern) -> None:
    for name, score in zip(strings(op.layers), scores, strict=True):
        misfit = pattern.misfit(mask.scores_type(score).shape)
        if misfit:
            raise pass_failed(op, f'pattern {pattern} does not fit layer "{name}": {misfit}')


def _with(
    scores: Sequence[SSAValue], within: Sequence[SSAValue]
) -> list[tuple[SSAValue, SSAValue | None]]:
    earlier: Sequence[SSAValue | None] = within or [None] * len(scores)
    return list(zip(scores, earlier, strict=True))


@dataclass(frozen=True)
class LowerLottoToMaskPass(ModulePass):
    """Lower scoring, pruning and mask algebra to single layers."""

    name = "lower-lotto-to-mask"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Lower in place; training and evaluation stay whole-network."""
        models = [model for model in op.ops if isinstance(model, lotto.ModelOp)]
        lowering = _Lowering(
            {
                model.model.data: {a.layer.name: a.layer for a in lotto.layers_of(model)}
                for model in models
            }
        )
        for inner in list(op.ops):
            lowering.lower(inner)
        for inner in reversed(lowering.lowered):
            Rewriter.erase_op(inner)
