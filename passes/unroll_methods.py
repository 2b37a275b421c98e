"""Replace every `lotto.find` by the training, scoring and pruning that its method asks for."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lottoc.masks.allocate import schedule
from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, StringAttr, f64, i64
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from lottoc.ir import lotto
from lottoc.ir.plain import Plain, from_dictionary, string_array, to_dictionary
from lottoc.ir.types import MasksType, ScoresType
from lottoc.methods import method_class
from lottoc.methods.lab import Duration, Method, OptimizerState


@dataclass(frozen=True)
class Target:
    """What one pruning round keeps: a share of all weights, under a pattern."""

    density: str
    pattern: str


@dataclass
class IrLab:
    """A method's lab that writes operations in front of a `lotto.find`."""

    find: lotto.FindOp

    def __post_init__(self) -> None:
        self.builder = Builder(InsertPoint.before(self.find))
        self.training = from_dictionary(self.find.training)

    @property
    def initial(self) -> SSAValue:
        """θ_0."""
        return self.find.weights

    @property
    def total_steps(self) -> int:
        """T; 0 if the ticket has no training."""
        return int(typing.cast(int, self.training.get("steps", 0)))

    def steps(self, duration: Duration) -> int:
        """IR counts in steps only."""
        assert duration.unit == "steps"
        return duration.amount

    def rounds(self, count: int) -> list[Target]:
        """An equal share of what is left in each round, or fewer of every M."""
        pattern = self.find.pattern.data
        if pattern == "unstructured":
            sparsities = schedule(1 - Fraction(self.find.density.data), count)
            return [Target(str(1 - s), pattern) for s in sparsities]
        n, m = map(int, pattern.split(":"))
        kept = [m - (i * (m - n) + count // 2) // count for i in range(1, count + 1)]
        return [Target(str(Fraction(k, m)), f"{k}:{m}") for k in kept]

    def train(
        self,
        weights: SSAValue,
        masks: SSAValue | None = None,
        *,
        first: int,
        last: int,
        optimizer: OptimizerState = "fresh",
        lr_at: int | None = None,
    ) -> SSAValue:
        """`lotto.train`, or nothing when there are no steps."""
        if first == last:
            return weights
        properties = {
            "first": IntegerAttr(first, i64),
            "last": IntegerAttr(last, i64),
            "optimizer": StringAttr(optimizer),
            "training": to_dictionary(self.training),
        }
        if lr_at is not None:
            properties["lr_at"] = IntegerAttr(lr_at, i64)
        return self._add(
            lotto.TrainOp.build(
                operands=[weights, self.find.data, masks],
                properties=properties,
                result_types=[self.find.weights.type],
            )
        )

    def score(self, weights: SSAValue) -> SSAValue:
        """`lotto.score`."""
        return self._add(
            lotto.ScoreOp.build(
                operands=[weights],
                properties={
                    "criterion": self.find.criterion,
                    "options": self.find.criterion_options,
                    "layers": self.find.layers,
                },
                result_types=[ScoresType(lotto.model_of(weights))],
            )
        )

    def prune(self, scores: SSAValue, target: Target, within: SSAValue | None = None) -> SSAValue:
        """`lotto.prune`."""
        return self._add(
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

    def observe(self, moment: str, weights: SSAValue, masks: SSAValue) -> None:
        """`lotto.observe` of sparsity, and of accuracy where there is test data."""
        metrics = [("sparsity", self._measure(masks))]
        if self._has_test():
            metrics.append(("accuracy", self._accuracy(weights, masks)))
        self.builder.insert(
            lotto.ObserveOp.build(
                operands=[[value for _, value in metrics]],
                properties={
                    "ticket": self.find.ticket,
                    "moment": StringAttr(moment),
                    "metrics": string_array([name for name, _ in metrics]),
                },
            )
        )

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
                operands=[masks],
                properties={"metric": StringAttr("sparsity")},
                result_types=[f64],
            )
        )

    def _accuracy(self, weights: SSAValue, masks: SSAValue) -> SSAValue:
        used: dict[str, Plain] = {
            k: self.training[k] for k in ("loss", "threads") if k in self.training
        }
        return self._add(
            lotto.EvaluateOp.build(
                operands=[weights, self.find.data, masks],
                properties={
                    "metric": StringAttr("accuracy"),
                    "split": StringAttr("test"),
                    "training": to_dictionary(used),
                },
                result_types=[f64],
            )
        )

    def _add(self, op: Operation) -> SSAValue:
        self.builder.insert(op)
        return op.results[0]


def method_of(find: lotto.FindOp) -> Method:
    """The method with its options; lengths are steps in IR."""
    shape: Any = method_class(find.method.data)
    kinds = typing.get_type_hints(shape)
    options: dict[str, Any] = {}
    given = from_dictionary(find.options)
    for option in dataclasses.fields(shape):
        if option.name in given:
            value = given[option.name]
            is_length = kinds[option.name] is Duration
            options[option.name] = (
                Duration(int(typing.cast(int, value)), "steps") if is_length else value
            )
    method: Method = shape(**options)
    return method


def _option(value: Plain, kind: object) -> object:
    if kind is Duration:
        assert isinstance(value, int)
        return Duration(value, "steps")
    return value


@dataclass(frozen=True)
class UnrollMethodsPass(ModulePass):
    """Replace `lotto.find` by what its method does."""

    name = "unroll-methods"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Unroll every `lotto.find` in place."""
        for find in [o for o in op.ops if isinstance(o, lotto.FindOp)]:
            found = method_of(find).find(IrLab(find))
            for old, new in zip(find.results, (found.masks, found.start, found.final), strict=True):
                old.replace_all_uses_with(new)
            Rewriter.erase_op(find)
