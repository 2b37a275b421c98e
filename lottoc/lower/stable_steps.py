"""Lowering `stability` blocks: copies that part at a step, and networks on the lines between them.

The first copy goes on with the training's own order of the data, so that for all steps together it
is the dense network's training.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from typing import Any

from xdsl.dialects.builtin import ArrayAttr, StringAttr, f64
from xdsl.ir import SSAValue

from lottoc.diagnostics import Diagnostic, Label, RecipeError
from lottoc.ir import lotto
from lottoc.ir.plain import to_dictionary
from lottoc.ir.types import WeightsType
from lottoc.lower.given import derived_seed, integer
from lottoc.lower.program import Stability, Ticket
from lottoc.lower.values import Lowering


def add_stability(lowering: Lowering, stability: Stability) -> None:
    """Trainings, interpolations, accuracies, and the `lotto.stability` that looks at them."""
    one = _Block(lowering, stability)
    steps = sorted({lowering.steps(at, one.ticket) for at in stability.at})
    values = [value for step in steps for value in one.accuracies(step)]
    op = lotto.StabilityOp.build(
        operands=[values],
        properties={
            "block": StringAttr(stability.name),
            "steps": ArrayAttr([integer(step) for step in steps]),
            "points": integer(stability.points),
            "threshold": StringAttr(str(stability.threshold)),
        },
    )
    lowering.ops.append(op)


class _Block:
    def __init__(self, lowering: Lowering, stability: Stability) -> None:
        self.lowering, self.stability = lowering, stability
        names = stability.model, stability.data, stability.training
        self.ticket = Ticket(stability.name, *names, stability.span)
        """The dense network: what copies are copies of."""
        self.data = lowering.dataset(stability.data)
        self.training = lowering.training(self.ticket)
        self.setting: dict[str, Any] = {
            k: self.training[k] for k in ("loss", "threads") if k in self.training
        }
        self.total = lowering.total(self.ticket)

    def accuracies(self, step: int) -> list[SSAValue]:
        """Along the line of each pair of copies that part at a step."""
        if step >= self.total:
            message = f"copies that begin at step {step} have nothing to train: "
            message += f"the training has {self.total} steps"
            help = ("compare at early steps",)
            labels = (Label(self.stability.span),)
            raise RecipeError([Diagnostic("rewind-past-end", message, labels, help)])
        start = self.lowering.initial(self.ticket)
        if step:
            start = self._train(start, 0, step, 0, lotto.FRESH)
        optimizer = lotto.KEEP if step else lotto.FRESH
        copies = [
            self._train(start, step, self.total, copy, optimizer)
            for copy in range(self.stability.copies)
        ]
        return [
            self._accuracy(first, second, Fraction(point, self.stability.points - 1))
            for first, second in combinations(copies, 2)
            for point in range(self.stability.points)
        ]

    def _train(self, start: SSAValue, first: int, last: int, copy: int, optimizer: str) -> SSAValue:
        training = dict(self.training)
        if copy:
            seed = self.training.get("seed", 0)
            training["seed"] = derived_seed("stability", seed, self.stability.seed, copy)
        return self.lowering.add(
            lotto.TrainOp.build(
                operands=[start, self.data, None],
                properties={
                    "first": integer(first),
                    "last": integer(last),
                    "optimizer": StringAttr(optimizer),
                    "training": to_dictionary(training),
                },
                result_types=[WeightsType(self.stability.model)],
            )
        )

    def _accuracy(self, first: SSAValue, second: SSAValue, at: Fraction) -> SSAValue:
        between = self.lowering.add(
            lotto.InterpolateOp.build(
                operands=[first, second, self.data],
                properties={
                    "at": StringAttr(str(at)),
                    "training": to_dictionary(self.setting),
                },
                result_types=[WeightsType(self.stability.model)],
            )
        )
        return self.lowering.add(
            lotto.EvaluateOp.build(
                operands=[between, self.data, None],
                properties={
                    "metric": StringAttr("accuracy"),
                    "split": StringAttr("test"),
                    "training": to_dictionary(self.setting),
                },
                result_types=[f64],
            )
        )
