"""What a recipe leaves to be measured before it can be lowered: the model that a rank or a search
finds. Everything that is trained or scored for it is kept in the store, so it is done once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from lottoc.diagnostics import InputError
from lottoc.engine.evaluate import Engine
from lottoc.engine.store import Store
from lottoc.exploring import Explorer, Space
from lottoc.frontends.torch_call import Value, call_text
from lottoc.ir import lotto
from lottoc.ir.text import context
from lottoc.lower.program import Data, Model, Program, Rank, Search, Ticket, Training
from lottoc.lower.to_ir import lower
from lottoc.passes import pipeline
from lottoc.progress import Progress
from lottoc.report.ranking import rankings

T = TypeVar("T")


@dataclass(frozen=True)
class Contest:
    """Evaluates small programs of its own."""

    store: Store
    progress: Progress
    catalog: Any

    def best_of(self, rank: Rank, models: Mapping[str, Model], data: Data) -> str:
        """The model with the best mean rank."""
        chosen = {name: models[name] for name in rank.models}
        module, engine = self._run(
            Program(chosen, {data.name: data}, {}, {}, (), (), ranks=(rank,))
        )
        return rankings(module, engine)[0].order[0]

    def explore(self, search: Search, data: Data, training: Training) -> Search:
        """The search with the models that were trained for it, the best of them named."""

        def train(arguments: dict[str, Value]) -> float:
            return self._accuracy(search, self._model(search, arguments), data, training)

        def prior(arguments: dict[str, Value]) -> list[float]:
            return self._proxies(search, self._model(search, arguments), data)

        explorer = Explorer(
            Space(search.space),
            search.trials,
            search.seed,
            _naming(search, train),
            _naming(search, prior) if search.proxies else None,
        )
        found = explorer.run()
        models = [self._model(search, arguments) for arguments, _ in found]
        accuracies = [accuracy for _, accuracy in found]
        best = models[accuracies.index(max(accuracies))].name
        return replace(search, tried=tuple(models), best=best)

    def _model(self, search: Search, arguments: dict[str, Value]) -> Model:
        return model_of(search, arguments, self.catalog)

    def _accuracy(self, search: Search, model: Model, data: Data, training: Training) -> float:
        ticket = Ticket("trial", model.name, data.name, training.name, search.span)
        module, engine = self._run(
            Program(
                {model.name: model},
                {data.name: data},
                {training.name: training},
                {"trial": ticket},
                (),
                (),
            )
        )
        (evaluated,) = [
            op
            for op in module.ops
            if isinstance(op, lotto.EvaluateOp) and op.metric.data == "accuracy"
        ]
        return float(engine.value(evaluated.result))

    def _proxies(self, search: Search, model: Model, data: Data) -> list[float]:
        rank = Rank(search.name, (model.name,), search.proxies, data.name, search.span)
        program = Program({model.name: model}, {data.name: data}, {}, {}, (), (), ranks=(rank,))
        module, engine = self._run(program)
        return list(rankings(module, engine)[0].values[model.name].values())

    def _run(self, program: Program) -> tuple[Any, Engine]:
        module = lower(program, self.catalog)
        pipeline.run(module, pipeline.LOWER, context())
        engine = Engine(self.store, self.progress)
        engine.run(module)
        return module, engine


def _naming(
    search: Search, work: Callable[[dict[str, Value]], T]
) -> Callable[[dict[str, Value]], T]:
    """The same work, whose errors say of which network they are."""

    def named(arguments: dict[str, Value]) -> T:
        try:
            return work(arguments)
        except InputError as error:
            told = f"it is of the network  {call_text(search.function, arguments)}"
            error.diagnostics = [replace(d, help=(*d.help, told)) for d in error.diagnostics]
            raise

    return named


def model_of(search: Search, arguments: Mapping[str, Value], catalog: Any) -> Model:
    """The network of an architecture."""
    function = call_text(search.function, arguments)
    signature, digest = catalog.signature("torch", search.path, function)
    name = f"{search.name}({', '.join(f'{k} = {v}' for k, v in sorted(arguments.items()))})"
    return Model(name, "torch", search.path, function, search.seed, signature, digest, search.span)
