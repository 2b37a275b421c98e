"""A search over a space of architectures: which ones to train, one after another.

Plain, it is Bayesian optimization by the tree-structured Parzen estimator of optuna (Bergstra et
al. 2011). With a prior, numbers that cost no training, the first networks are those that it
ranks best, and each later one is the best by it of several that the estimator proposes.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lottoc.diagnostics import input_error
from lottoc.frontends.torch_call import Value

Point = tuple[int, ...]
"""An index into the values of each dimension."""
POOL = 8
"""Proposals that a prior chooses one of."""
SEEN = 256
"""Points that a prior ranks, at most."""
ASKED = 20
"""Proposals for each training, at most: in a small space an estimator repeats itself."""


@dataclass(frozen=True)
class Space:
    """The values that each argument may take."""

    values: Mapping[str, Sequence[Value]]

    @property
    def size(self) -> int:
        """Number of architectures."""
        return math.prod(len(values) for values in self.values.values())

    def arguments(self, point: Point) -> dict[str, Value]:
        """What a point stands for."""
        pairs = zip(self.values.items(), point, strict=True)
        return {name: values[index] for (name, values), index in pairs}

    def sample(self, count: int, seed: int) -> list[Point]:
        """Distinct points, all if there are no more; drawn by lot otherwise."""
        axes = [range(len(values)) for values in self.values.values()]
        if self.size <= count:
            return list(itertools.product(*axes))
        from random import Random

        draw = Random(seed)
        found: dict[Point, None] = {}
        while len(found) < count:
            found[tuple(draw.choice(axis) for axis in axes)] = None
        return list(found)


@dataclass
class Explorer:
    """Trains `trials` architectures; `prior` gives what proxies say of one."""

    space: Space
    trials: int
    seed: int
    train: Callable[[dict[str, Value]], float]
    prior: Callable[[dict[str, Value]], Sequence[float]] | None = None
    trained: dict[Point, float] = field(default_factory=dict)
    said: dict[Point, tuple[float, ...]] = field(default_factory=dict)

    def run(self) -> list[tuple[dict[str, Value], float]]:
        """The architectures in the order they were trained, each with its accuracy.

        Raises `InputError` (optuna-missing).
        """
        study = self._study()
        first = max(1, self.trials // 3)
        known = self._known()
        if self.prior is not None:
            order = sorted(known, key=lambda point: (-self._standing(point, known), point))
            for point in order[:first]:
                study.enqueue_trial(dict(zip(self.space.values, point, strict=True)))
        goal = min(self.trials, self.space.size)
        for _ in range(ASKED * goal):
            if len(self.trained) >= goal:
                break
            guided = self.prior is not None and len(self.trained) >= first
            trial, point = self._propose(study, known if guided else ())
            if point not in self.trained:
                self.trained[point] = self.train(self.space.arguments(point))
            study.tell(trial, self.trained[point])
        for point in self.space.sample(SEEN, self.seed):  # where it only repeats itself
            if len(self.trained) < goal and point not in self.trained:
                self.trained[point] = self.train(self.space.arguments(point))
        return [(self.space.arguments(p), accuracy) for p, accuracy in self.trained.items()]

    def _study(self) -> Any:
        if importlib.util.find_spec("optuna") is None:
            help = ('pip install "lottoc[search]"',)
            raise input_error("optuna-missing", "a search needs optuna", help=help)
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        first = max(1, self.trials // 3)
        sampler = optuna.samplers.TPESampler(seed=self.seed, n_startup_trials=first)
        return optuna.create_study(direction="maximize", sampler=sampler)

    def _known(self) -> list[Point]:
        return self.space.sample(SEEN, self.seed) if self.prior is not None else []

    def _propose(self, study: Any, known: Sequence[Point]) -> tuple[Any, Point]:
        """The next trial; of several proposals that nobody has trained, the prior's best."""
        if not known:
            return self._ask(study)
        from optuna.trial import TrialState

        asked = [self._ask(study) for _ in range(POOL)]
        new = [each for each in asked if each[1] not in self.trained] or asked
        best = max(new, key=lambda each: self._standing(each[1], known))
        for trial, _ in asked:
            if trial is not best[0]:
                study.tell(trial, state=TrialState.FAIL)
        return best

    def _ask(self, study: Any) -> tuple[Any, Point]:
        trial = study.ask()
        sizes = {name: len(values) for name, values in self.space.values.items()}
        return trial, tuple(trial.suggest_int(name, 0, size - 1) for name, size in sizes.items())

    def _standing(self, point: Point, known: Sequence[Point]) -> float:
        """The mean share of the known points that are below it, over the proxies."""
        own = self._numbers(point)
        others = [self._numbers(other) for other in known]
        below = [sum(o[i] < value for o in others) for i, value in enumerate(own)]
        return sum(below) / (len(own) * max(1, len(others)))

    def _numbers(self, point: Point) -> tuple[float, ...]:
        assert self.prior is not None
        if point not in self.said:
            found = tuple(self.prior(self.space.arguments(point)))
            self.said[point] = tuple(-math.inf if math.isnan(v) else v for v in found)
        return self.said[point]
