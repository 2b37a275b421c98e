"""Instability analysis: barriers along the lines between copies, and the step that they decide.

Source: Frankle, Dziugaite, Roy, Carbin 2020, "Linear Mode Connectivity and the Lottery Ticket
Hypothesis", §2: the highest error on the line less the mean of those at its ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from xdsl.dialects.builtin import ModuleOp

from lottoc.diagnostics import Diagnostic, Label, RequirementError, Span
from lottoc.engine.evaluate import Engine
from lottoc.ir import lotto
from lottoc.report.plot import line_plot


def barrier(errors: Sequence[float]) -> float:
    """The highest error on a line less the mean of its ends, which are on it: at least 0."""
    return max(errors) - (errors[0] + errors[-1]) / 2


@dataclass(frozen=True)
class Stability:
    """A `stability` block: for each step the errors along the line of each pair of copies."""

    block: str
    lines: dict[int, list[list[float]]]
    threshold: Fraction

    @property
    def barriers(self) -> dict[int, float]:
        """By step, the mean over pairs."""
        return {step: sum(map(barrier, pairs)) / len(pairs) for step, pairs in self.lines.items()}

    @property
    def step(self) -> int | None:
        """The first step from which on every barrier is below the threshold; None if none is."""
        found = None
        for step, height in sorted(self.barriers.items(), reverse=True):
            if height >= self.threshold:
                break
            found = step
        return found


def stabilities(module: ModuleOp, engine: Engine) -> list[Stability]:
    """Every `stability` block of the recipe, in its order."""
    found = []
    for op in module.ops:
        if isinstance(op, lotto.StabilityOp):
            errors = [1 - engine.value(value) for value in op.values]
            points = op.points.value.data
            lines = [errors[i : i + points] for i in range(0, len(errors), points)]
            steps = [step.value.data for step in op.steps]
            pairs = len(lines) // len(steps)
            by_step = {s: lines[i * pairs : (i + 1) * pairs] for i, s in enumerate(steps)}
            found.append(Stability(op.block.data, by_step, Fraction(op.threshold.data)))
    return found


def never_stable(stability: Stability, place: Span) -> RequirementError:
    """No step to rewind to."""
    heights = ", ".join(f"{h:.2%} at step {s}" for s, h in stability.barriers.items())
    message = f'"{stability.block}" finds no step from which on barriers stay below '
    message += f"{100 * float(stability.threshold):g}%: {heights}"
    help = ("add later steps to  at, or raise  threshold",)
    return RequirementError([Diagnostic("never-stable", message, (Label(place),), help)])


def plot(stability: Stability) -> str:
    """The barrier against the step at which copies part, as SVG."""
    return line_plot(
        stability.block,
        "step at which copies part",
        "barrier, points of error",
        [(step, 100 * height) for step, height in stability.barriers.items()],
        level=(100 * float(stability.threshold), "threshold"),
    )


def as_data(found: Sequence[Stability]) -> dict[str, Any]:
    """For the report; nothing if there is no such block."""
    blocks = {
        one.block: {
            "step": one.step,
            "threshold": float(one.threshold),
            "barriers": [
                {"step": step, "barrier": height, "errors": one.lines[step]}
                for step, height in one.barriers.items()
            ],
        }
        for one in found
    }
    return {"stability": blocks} if blocks else {}
