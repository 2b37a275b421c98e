"""The bench a method works at in the compiler: what it does becomes operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xdsl.builder import Builder
from xdsl.dialects.builtin import (
    DictionaryAttr,
    FloatAttr,
    IntegerAttr,
    StringAttr,
    UnitAttr,
    f64,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.rewriter import InsertPoint

from lottoc.criteria import CRITERIA, SOLVERS, criterion_class, needs, rounds
from lottoc.ir import lotto
from lottoc.ir.place import pass_failed
from lottoc.ir.plain import Plain, from_dictionary, string_array, to_dictionary
from lottoc.ir.types import MasksType, ScoresType
from lottoc.masks.patterns import parse
from lottoc.methods.lab import Duration, OptimizerState
from lottoc.passes.rounds import Target, stages

_MOST_ROUNDS = 10_000
_MOST_STEPS = 1 << 40


@dataclass
class IrLab:
    """A method's lab that writes operations in front of a `lotto.find`."""

    find: lotto.FindOp

    def __post_init__(self) -> None:
        self.builder = Builder(InsertPoint.before(self.find))
        self.training = from_dictionary(self.find.training)
        self.targets: dict[SSAValue, Target] = {}
        """What masks were pruned to."""

    @property
    def initial(self) -> SSAValue:
        """θ_0."""
        return self.find.weights

    @property
    def free(self) -> SSAValue | None:
        """`lotto.not` of what is excluded."""
        if self.find.excluded is None:
            return None
        return self._add(
            lotto.NotOp.build(operands=[self.find.excluded], result_types=[self.find.excluded.type])
        )

    @property
    def total_steps(self) -> int:
        """T; 0 if the ticket has no training."""
        steps = self.training.get("steps", 0)
        if type(steps) is not int or not 0 <= steps <= _MOST_STEPS:
            raise pass_failed(self.find, f"the training has {steps!r} steps, which is no number")
        return steps

    @property
    def pattern(self) -> str:
        """Its name alone."""
        return parse(self.find.pattern.data).name

    @property
    def last_layer(self) -> str:
        """Of the model, whether the ticket selects it or not."""
        name, block = lotto.model_of(self.find.weights), self.find.parent_block()
        assert block is not None
        models = (op for op in block.ops if isinstance(op, lotto.ModelOp))
        model = next(op for op in models if op.model.data == name)
        return model.layers.data[-1].layer_name.data

    def steps(self, duration: Duration) -> int:
        """IR counts in steps only."""
        assert duration.unit == "steps"
        return duration.amount

    def rounds(self, count: int) -> list[Target]:
        """An equal share of what is left in each round, or as the pattern says."""
        self._check_rounds(count)
        return stages(None, Target(self.find.density.data, self.find.pattern.data), count)

    def _check_rounds(self, count: int) -> None:
        if not 1 <= count <= _MOST_ROUNDS:
            raise pass_failed(self.find, f"rounds is {count}, not from 1 to {_MOST_ROUNDS}")

    def train(
        self,
        weights: SSAValue,
        masks: SSAValue | None = None,
        *,
        first: int,
        last: int,
        optimizer: OptimizerState = "fresh",
        lr_at: int | None = None,
        frozen: bool = False,
    ) -> SSAValue:
        """`lotto.train`, or nothing when there are no steps."""
        if first == last:
            return weights
        if self.find.training is None:
            raise pass_failed(self.find, "the method trains, and the ticket has no training")
        properties: dict[str, Attribute] = {
            "first": IntegerAttr(first, i64),
            "last": IntegerAttr(last, i64),
            "optimizer": StringAttr(optimizer),
            "training": to_dictionary(self.training),
        }
        if lr_at is not None:
            properties["lr_at"] = IntegerAttr(lr_at, i64)
        if frozen:
            properties["frozen"] = UnitAttr()
        return self._add(
            lotto.TrainOp.build(
                operands=[weights, self.find.data, masks],
                properties=properties,
                result_types=[self.find.weights.type],
            )
        )

    def difference(self, weights: SSAValue, origin: SSAValue) -> SSAValue:
        """`lotto.difference`."""
        return self._add(
            lotto.DifferenceOp.build(operands=[weights, origin], result_types=[weights.type])
        )

    def train_sparse(
        self,
        update: str,
        weights: SSAValue,
        masks: SSAValue | None,
        options: Mapping[str, Any],
        *,
        first: int,
        last: int,
    ) -> tuple[SSAValue, SSAValue]:
        """`lotto.train_sparse`."""
        if self.find.data is None or first == last:
            raise pass_failed(self.find, "the method trains, and the ticket has no training")
        model = lotto.model_of(weights)
        op: Any = lotto.TrainSparseOp.build(
            operands=[weights, self.find.data, masks],
            properties={
                "update": StringAttr(update),
                "options": to_dictionary(options),
                "layers": self.find.layers,
                "scope": self.find.scope,
                "density": self.find.density,
                "pattern": self.find.pattern,
                "first": IntegerAttr(first, i64),
                "last": IntegerAttr(last, i64),
                "optimizer": StringAttr(lotto.FRESH),
                "training": to_dictionary(self.training),
            },
            result_types=[MasksType(model), self.find.weights.type],
        )
        self._add(op)
        return op.masks, op.final

    def score(self, weights: SSAValue, masks: SSAValue | None = None) -> SSAValue:
        """`lotto.score`, on data and under masks if the criterion looks at more than weights."""
        properties: dict[str, Attribute] = {
            "criterion": self.find.criterion,
            "options": self.find.criterion_options,
            "layers": self.find.layers,
        }
        if self.find.inverted is not None:
            properties["inverted"] = self.find.inverted
        data = None
        if not self._statistic():
            masks = None
        elif self.find.data is not None:
            data = self.find.data
            properties |= {"split": StringAttr(self._split()), "training": self._setting()}
        return self._add(
            lotto.ScoreOp.build(
                operands=[weights, data, masks],
                properties=properties,
                result_types=[ScoresType(lotto.model_of(weights))],
            )
        )

    def _statistic(self) -> str | None:
        name = self.find.criterion.data  # of unknown ones is said when they are to be evaluated
        return criterion_class(name).statistic if name in CRITERIA else None

    def prune(self, scores: SSAValue, target: Target, within: SSAValue | None = None) -> SSAValue:
        """`lotto.prune`, and `lotto.repair` where the ticket asks for that."""
        kept = self._add(
            lotto.PruneOp.build(
                operands=[scores, within],
                properties={
                    "scope": self.find.scope,
                    "density": StringAttr(target.density),
                    "pattern": StringAttr(target.pattern),
                    "layers": self.find.layers,
                },
                result_types=[MasksType(lotto.model_of(scores))],
            )
        )
        if self.find.wiring is not None:
            operands = [kept, scores, self.find.wiring, within]
            kept = self._add(lotto.RepairOp.build(operands=operands, result_types=[kept.type]))
        self.targets[kept] = target
        return kept

    def select(self, weights: SSAValue, target: Target, within: SSAValue | None = None) -> SSAValue:
        """`lotto.score` and `lotto.prune`, again and again if the criterion says so."""
        name = self.find.criterion.data
        count = (
            rounds(name, from_dictionary(self.find.criterion_options)) if name in CRITERIA else 1
        )
        self._check_rounds(count)
        before = self.targets.get(within) if within is not None else None
        for stage in dict.fromkeys(stages(before, target, count)):
            within = self.prune(self.score(weights, within), stage, within)
        assert within is not None
        return within

    def cut(self, weights: SSAValue, target: Target) -> tuple[SSAValue, SSAValue]:
        """`lotto.reconstruct` for criteria that change weights; `select` for all others."""
        if self.find.criterion.data not in SOLVERS:
            return self.select(weights, target), weights
        if self.find.data is None:
            name = self.find.criterion.data
            raise pass_failed(self.find, f'"{name}" looks at data, and there is none')
        op = lotto.ReconstructOp.build(
            operands=[weights, self.find.data],
            properties={
                "criterion": self.find.criterion,
                "options": self.find.criterion_options,
                "layers": self.find.layers,
                "split": StringAttr(self._split()),
                "scope": self.find.scope,
                "density": StringAttr(target.density),
                "pattern": StringAttr(target.pattern),
            },
            result_types=[MasksType(lotto.model_of(weights)), weights.type],
        )
        self._add(op)
        return op.masks, op.result

    def approximate(self, weights: SSAValue, epsilon: float) -> SSAValue:
        """`lotto.subset_sum`, and what is read off it."""
        if self.find.toward is None or self.find.target is None:
            raise pass_failed(self.find, "the method approximates a network, and none is given")
        named = {"layers": self.find.layers, "target": self.find.target}
        masks = self._add(
            lotto.SubsetSumOp.build(
                operands=[weights, self.find.toward],
                properties={**named, "epsilon": FloatAttr(epsilon, f64)},
                result_types=[MasksType(lotto.model_of(weights))],
            )
        )
        numbers = {
            metric: self._add(
                lotto.ApproximationOp.build(
                    operands=[masks, weights, self.find.toward],
                    properties={**named, "metric": StringAttr(metric)},
                    result_types=[f64],
                )
            )
            for metric in lotto.APPROXIMATED
        }
        self._note("approximation", numbers)
        return masks

    def _split(self) -> str:
        """Activations are looked at on the calibration split, where the data has one."""
        data = self.find.data.owner if self.find.data is not None else None
        splits = data.splits.data if isinstance(data, lotto.DataOp) else {}
        name = self.find.criterion.data
        wanted = name in SOLVERS or "activations" in needs(name)
        return "calibration" if wanted and "calibration" in splits else "train"

    def observe(self, moment: str, weights: SSAValue, masks: SSAValue) -> None:
        """`lotto.observe` of sparsity, and of accuracy where there is test data."""
        metrics = {"sparsity": self._measure(masks)}
        if self._has_test():
            metrics["accuracy"] = self._accuracy(weights, masks)
        self._note(moment, metrics)

    def _note(self, moment: str, metrics: Mapping[str, SSAValue]) -> None:
        op = lotto.ObserveOp.build(
            operands=[list(metrics.values())],
            properties={
                "ticket": self.find.ticket,
                "moment": StringAttr(moment),
                "metrics": string_array(list(metrics)),
            },
        )
        op.location = self.find.location
        self.builder.insert(op)

    def _has_test(self) -> bool:
        data = self.find.data
        return (
            data is not None
            and isinstance(data.owner, lotto.DataOp)
            and "test" in data.owner.splits.data
        )

    def _measure(self, masks: SSAValue) -> SSAValue:
        return self._add(
            lotto.MeasureOp.build(
                operands=[masks, None],
                properties={"metric": StringAttr("sparsity")},
                result_types=[f64],
            )
        )

    def _accuracy(self, weights: SSAValue, masks: SSAValue) -> SSAValue:
        return self._add(
            lotto.EvaluateOp.build(
                operands=[weights, self.find.data, masks],
                properties={
                    "metric": StringAttr("accuracy"),
                    "split": StringAttr("test"),
                    "training": self._setting(),
                },
                result_types=[f64],
            )
        )

    def _setting(self) -> DictionaryAttr:
        """What of a training matters where nothing is trained."""
        used: dict[str, Plain] = {
            k: self.training[k] for k in ("loss", "threads") if k in self.training
        }
        return to_dictionary(used)

    def _add(self, op: Operation) -> SSAValue:
        op.location = self.find.location
        self.builder.insert(op)
        return op.results[0]
