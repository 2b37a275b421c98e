"""Walks through a language model of transformers, one block of it in memory at a time."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import local
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lottoc.diagnostics import input_error
from lottoc.layerwise.walk import Batch, Observe

if TYPE_CHECKING:
    from lottoc.frontends.hf_model import HfModel

T = TypeVar("T")
Changed = Callable[[str], NDArray[Any] | None]


class _Caught(Exception):
    """The first block was reached."""


class HfWalk:
    """A model as a sequence of blocks; what is outside them comes before or behind.

    Computes in float32 on one thread, whatever the type of the weights, so that results do not
    depend on the machine's number of threads.
    """

    def __init__(self, model: HfModel, changed: Changed) -> None:
        """`changed` gives the weights that take the place of the file's, by layer."""
        self.model, self.changed = model, changed
        self.replaced: dict[str, Callable[[], NDArray[Any]]] = {}

    def count(self, layers: Sequence[str]) -> int:
        """How many stages there will be: blocks up to the last, and the head if it is wanted."""
        return self._last(layers) + 1 + bool(self._outside(layers))

    def runs(self, layer: str) -> int:
        """Every layer runs once."""
        return 1

    def _last(self, layers: Sequence[str]) -> int:
        names = set(layers)
        inside = [i for i in range(len(self.model.blocks)) if names & set(self._layers(i))]
        everything = len(self.model.blocks) - 1 if self._outside(layers) else -1
        return max([*inside, everything])

    def _layers(self, number: int) -> list[str]:
        prefix = f"{self.model.blocks_name}.{number}."
        return [layer.name for layer in self.model.signature if layer.name.startswith(prefix)]

    def _outside(self, layers: Sequence[str]) -> list[str]:
        prefix = f"{self.model.blocks_name}."
        return [name for name in layers if not name.startswith(prefix)]

    def stages(self, layers: Sequence[str], batches: Sequence[Batch]) -> Iterator[HfStage]:
        """Block by block. Raises `InputError`: hf-run, hf-layer."""
        names = set(layers)
        with _one_thread(), torch.no_grad():
            states, calls = self._before(batches)
            for number in range(self._last(layers) + 1):
                with self._filled(f"{self.model.blocks_name}.{number}") as block:
                    wanted = [name for name in self._layers(number) if name in names]
                    stage = HfStage(self, block, number, wanted, states, calls)
                    yield stage
                    stage.run()
            outside = self._outside(layers)
            if outside:
                yield self._head(outside, states)

    def _head(self, outside: Sequence[str], states: list[torch.Tensor]) -> HfStage:
        head = self.model.module.get_output_embeddings()
        name = next((n for n, p in self.model.module.named_modules() if p is head), "")
        if list(outside) != [name]:
            other = next(layer for layer in outside if layer != name)
            raise input_error(
                "hf-layer",
                f'the inputs of layer "{other}" cannot be looked at: it is in none of the blocks',
                file=str(self.model.checkpoint.path),
                help=[f'leave it out with  layers = … - "{other}"'],
            )
        with self._filled(self._norm_name()) as norm:
            normed = [norm(state) for state in states]
        return HfStage(self, head, -1, [name], normed, [])

    def nll(self, batches: Sequence[Batch], advance: Callable[[int], None]) -> float:
        """Mean over examples of the mean negative log-likelihood of their tokens but the first."""
        total, count = 0.0, 0
        head = self.model.module.get_output_embeddings()
        name = next(n for n, p in self.model.module.named_modules() if p is head)
        with _one_thread(), torch.no_grad():
            states, calls = self._before(batches)
            for number in range(len(self.model.blocks)):
                with self._filled(f"{self.model.blocks_name}.{number}") as block:
                    HfStage(self, block, number, [], states, calls).run()
                advance(1)
            with self._filled(self._norm_name()) as norm, self._filled(name) as output:
                for state, batch in zip(states, batches, strict=True):
                    ids = torch.from_numpy(np.ascontiguousarray(batch["input_ids"]))
                    for hidden, tokens in zip(norm(state), ids, strict=True):
                        logits = output(hidden[:-1]).float()
                        loss = nn.functional.cross_entropy(logits, tokens[1:])
                        total, count = total + float(loss), count + 1
        return total / max(count, 1)

    def _norm_name(self) -> str:
        """What stands between the last block and the head: the module behind the blocks."""
        parent = self.model.blocks_name.rpartition(".")[0]
        blocks = self.model.blocks_name.rpartition(".")[2]
        owner = self.model.module.get_submodule(parent) if parent else self.model.module
        norms = [
            name
            for name, part in owner.named_children()
            if name != blocks and "norm" in type(part).__name__.lower()
        ]
        if len(norms) != 1:
            raise input_error(
                "hf-run",
                f"what stands behind the blocks of {type(owner).__name__} is not one normalization",
                file=str(self.model.checkpoint.path),
                help=["this kind of model is not supported in this version"],
            )
        return f"{parent}.{norms[0]}" if parent else norms[0]

    def _before(
        self, batches: Sequence[Batch]
    ) -> tuple[list[torch.Tensor], list[Mapping[str, Any]]]:
        """What the first block is given, for every batch."""
        states: list[torch.Tensor] = []
        calls: list[Mapping[str, Any]] = []
        first = self.model.blocks[0]

        def catch(module: nn.Module, given: Any, named: Any) -> None:
            arguments = inspect.signature(first.forward).bind(*given, **named).arguments
            extra = arguments.pop("kwargs", {})
            name = next(iter(arguments))
            states.append(arguments.pop(name).float())
            calls.append(_sharing({**arguments, **extra}, calls))
            raise _Caught

        handle = first.register_forward_pre_hook(catch, with_kwargs=True)
        with self._filled_outside():
            try:
                for batch in batches:
                    ids = torch.from_numpy(np.ascontiguousarray(batch["input_ids"]))
                    try:
                        self.model.module(input_ids=ids, use_cache=False)
                    except _Caught:
                        continue
                    raise AssertionError("the first block was not reached")
            except (RuntimeError, ValueError, TypeError, IndexError) as error:
                raise self.failed(error) from error
            finally:
                handle.remove()
        return states, calls

    def failed(self, error: Exception) -> Exception:
        """The model's own code failed."""
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else repr(error)
        return input_error(
            "hf-run",
            f"the model does not run on these examples: {reason}",
            file=str(self.model.checkpoint.path),
            help=["look at the length of examples, and at whether transformers runs the model"],
        )

    @contextmanager
    def _filled_outside(self) -> Iterator[None]:
        """Parameters before the blocks, which is the embeddings; those behind stay empty."""
        prefix = f"{self.model.blocks_name}."
        head = self.model.module.get_output_embeddings()
        names = [
            name
            for name, part in self.model.module.named_modules()
            if part is not head
            and not name.startswith(prefix)
            and any(True for _ in part.parameters(recurse=False))
        ]
        with self._fill([(name, self.model.module.get_submodule(name)) for name in names]):
            yield

    @contextmanager
    def _filled(self, name: str) -> Iterator[nn.Module]:
        """A part of the model with its numbers in place, for as long as the context lasts."""
        part = self.model.module.get_submodule(name)
        inside = [(f"{name}.{n}" if n else name, p) for n, p in part.named_modules()]
        with self._fill(inside):
            yield part

    @contextmanager
    def _fill(self, parts: Sequence[tuple[str, nn.Module]]) -> Iterator[None]:
        emptied = []
        for name, part in parts:
            for key, parameter in list(part._parameters.items()):
                if parameter is not None:
                    emptied.append((part, key, parameter))
                    part._parameters[key] = nn.Parameter(
                        self.tensor(f"{name}.{key}"), requires_grad=False
                    )
        try:
            yield
        finally:
            for part, key, parameter in emptied:
                part._parameters[key] = parameter

    def tensor(self, parameter: str) -> torch.Tensor:
        """The numbers of a parameter, in float32."""
        layer, _, key = parameter.rpartition(".")
        array = None
        if key == "weight":
            array = self.replaced[layer]() if layer in self.replaced else self.changed(layer)
        if array is None:
            array = self.model.checkpoint.get(self.model.stored_name(parameter))
        return torch.from_numpy(np.array(array, dtype=np.float32))


@dataclass
class HfStage:
    """A block, or the head, with what it is given."""

    walk: HfWalk
    block: nn.Module
    number: int
    layers: Sequence[str]
    states: list[torch.Tensor]
    calls: Sequence[Mapping[str, Any]]
    _groups: dict[str, list[str]] = field(default_factory=dict)

    @property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """Layers by the first that was given the same tensor; known once it was observed."""
        if not self._groups:
            self._learn()
        return self._groups

    def _named(self) -> dict[str, nn.Module]:
        if self.number < 0:
            return {self.layers[0]: self.block}
        prefix = f"{self.walk.model.blocks_name}.{self.number}."
        return {name: self.block.get_submodule(name.removeprefix(prefix)) for name in self.layers}

    def _learn(self) -> None:
        """Which layers share an input: one example tells."""
        given: dict[int, str] = {}
        held = []

        def seen(name: str, x: torch.Tensor) -> None:
            held.append(x)  # so that no other tensor gets its place in memory
            first = given.setdefault(x.data_ptr(), name)
            self._groups.setdefault(first, []).append(name)

        if not self.layers:
            return
        with self._hooked(self.layers, seen):
            self._forward(0)

    @contextmanager
    def _hooked(
        self, layers: Sequence[str], seen: Callable[[str, torch.Tensor], None]
    ) -> Iterator[None]:
        def hook(name: str) -> Callable[[nn.Module, Any], None]:
            return lambda module, given: seen(name, given[0])

        named = self._named()
        handles = [named[name].register_forward_pre_hook(hook(name)) for name in layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _forward(self, index: int) -> torch.Tensor:
        try:
            if self.number < 0:
                for hook in self.block._forward_pre_hooks.values():
                    hook(self.block, (self.states[index],))
                return self.states[index]
            result = self.block(self.states[index], **self.calls[index])
        except (RuntimeError, ValueError, TypeError) as error:
            raise self.walk.failed(error) from error
        output: torch.Tensor = result[0] if isinstance(result, tuple) else result
        return output

    def observe(self, observe: Observe) -> None:
        """Show the inputs, batch by batch."""

        mine = local()

        def seen(name: str, x: torch.Tensor) -> None:
            mine.given.append((name, x.reshape(-1, x.shape[-1]).float().numpy()))

        def work(index: int) -> list[tuple[str, NDArray[np.float32]]]:
            mine.given = []
            self._forward(index)
            found: list[tuple[str, NDArray[np.float32]]] = mine.given
            return found

        with self._hooked(list(self.groups), seen):
            for given in _side_by_side(work, len(self.states)):
                for name, rows in given:
                    observe(name, rows)

    def replace(self, layer: str, weight: Callable[[], NDArray[Any]]) -> None:
        """Go on with another weight."""
        self.walk.replaced[layer] = weight
        if self.number >= 0:
            self._named()[layer]._parameters["weight"] = nn.Parameter(
                self.walk.tensor(f"{layer}.weight"), requires_grad=False
            )

    def run(self) -> None:
        """Replace what the block is given by what it makes of it."""
        for index, state in enumerate(_side_by_side(self._forward, len(self.states))):
            self.states[index] = state


def _side_by_side(work: Callable[[int], T], count: int) -> Iterator[T]:
    """Results for 0 … count - 1 in order; a thread each, and no more in memory than threads."""

    def without_gradients(index: int) -> T:
        with torch.no_grad():  # which each thread has to say for itself
            return work(index)

    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, count, threads):
            yield from pool.map(without_gradients, range(start, min(start + threads, count)))


def _sharing(call: Mapping[str, Any], before: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The call with the tensors of the first one where they are equal, such as masks."""

    def shared(mine: Any, first: Any) -> Any:
        if isinstance(mine, torch.Tensor):
            same = isinstance(first, torch.Tensor) and mine.shape == first.shape
            return first if same and torch.equal(mine, first) else mine
        if isinstance(mine, tuple) and isinstance(first, tuple) and len(mine) == len(first):
            return tuple(map(shared, mine, first))
        return mine

    return {k: shared(v, before[0].get(k)) for k, v in call.items()} if before else call


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums that do not depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
