"""Walks through a torch network, whatever its forward() does, in one run of it.

Every batch runs in a thread of its own, on a copy of the module that shares its weights, and waits
where a layer is about to be given what nobody has seen yet.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Semaphore, Thread
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from lottoc.diagnostics import InputError, input_error
from lottoc.layerwise.torch_inputs import seen_by, watched
from lottoc.layerwise.torch_rows import geometry, rows_of
from lottoc.layerwise.walk import Batch, Observe
from lottoc.signature import parameter_of
from lottoc.training.forward import forward_failed
from lottoc.training.module import layer_tensor, named_tensors, to_tensor
from lottoc.training.settings import fixed_threads

INPUT = "x"
"""What a torch model's one input is called in a batch."""


class _Stop(BaseException):
    """No more is to be seen of this run; no `except Exception` of a model's code holds it up."""


@dataclass(frozen=True)
class _Call:
    """A layer that is called, and which input it is given: equal numbers are equal inputs."""

    layer: str
    given: int


class TorchWalk:
    """A module, which is changed on the way, and the layers of it that may be looked at."""

    def __init__(self, module: nn.Module, layers: Sequence[str], example: Batch, file: Path):
        """`layers` are names of the signature; `example` is a batch, a part of which is run once
        to see what is called in which order. Raises `InputError`: model-data-shape, torch-forward.
        """
        self.module, self.file = module.eval(), file
        named = named_tensors(module)
        weights = {id(w): n for n, w in named.items()}
        names = {parameter_of(layer, named): layer for layer in layers}
        self.parts: dict[str, dict[str, str]] = {}
        """By the name of a module, layers by the path of the weight that it uses."""
        self.apart: set[str] = set()
        """Layers of whose weight each part multiplies something else."""
        for name, part in module.named_modules():
            found = {w.leaf: weights.get(id(w.weight), "") for w in watched(part)}
            if found := {leaf: names[own] for leaf, own in found.items() if own in names}:
                self.parts[name] = found
        self.calls = self._watch(torch.from_numpy(example[INPUT][:2].copy()))

    def _watch(self, x: torch.Tensor) -> list[_Call]:
        """Every call of a layer, in order."""
        calls: list[_Call] = []
        inputs: dict[Any, int] = {}
        held = []

        def seen(layer: str, part: nn.Module, given: torch.Tensor | None) -> None:
            if given is None:
                self.apart.add(layer)
                return
            held.append(given)  # so that no other tensor gets its place in memory
            place = (given.data_ptr(), given._version, given.shape, given.stride())
            number = inputs.setdefault((*place, geometry(part)), len(inputs))
            calls.append(_Call(layer, number))

        with _running(), _hooked(self.module, self.parts, seen), torch.no_grad():
            _forward(self.module, x)
        return calls

    def count(self, layers: Sequence[str]) -> int:
        """How many stages there will be."""
        return len(self._plan(layers))

    def runs(self, layer: str) -> int:
        """How many different inputs it is given."""
        return len({call.given for call in self.calls if call.layer == layer})

    def _plan(self, layers: Sequence[str]) -> dict[int, list[str]]:
        """By the number of a call, the layers that are given what it is given, and it first."""
        wanted, first = set(layers), dict[int, int]()
        plan: dict[int, list[str]] = {}
        for number, call in enumerate(self.calls):
            if call.layer in wanted:
                at = first.setdefault(call.given, number)
                group = plan.setdefault(at, [])
                group += [call.layer] if call.layer not in group else []
        return plan

    def stages(self, layers: Sequence[str], batches: Sequence[Batch]) -> Iterator[TorchStage]:
        """Raises `InputError`: layer-not-called, layer-grouped, control-flow, model-data-shape,
        torch-forward."""
        self._check(layers)
        plan = self._plan(layers)
        with _running():
            runs = [_Run(self, torch.from_numpy(batch[INPUT].copy()), plan) for batch in batches]
            try:
                for group in plan.values():
                    _side_by_side(runs)
                    yield TorchStage(self, group, runs)
            finally:
                for run in runs:
                    run.stop()

    def _check(self, layers: Sequence[str]) -> None:
        called = {call.layer for call in self.calls}
        grouped = {
            layer
            for name, found in self.parts.items()
            for layer in found.values()
            if getattr(self.module.get_submodule(name), "groups", 1) > 1
        }
        for layer in layers:
            help = (f'leave it out with  layers = … - "{layer}"',)
            if layer in self.apart:
                raise input_error(
                    "layer-apart",
                    f'layer "{layer}" projects queries, keys and values that are not one tensor, '
                    "so that parts of its weight have inputs of their own",
                    file=str(self.file),
                    help=help,
                )
            if layer not in called:
                raise input_error(
                    "layer-not-called",
                    f'the inputs of layer "{layer}" cannot be looked at: forward() does not call '
                    "it, or multiplies its weight by hand",
                    file=str(self.file),
                    help=help,
                )
            if layer in grouped:
                raise input_error(
                    "layer-grouped",
                    f'layer "{layer}" is a convolution in groups, each of which has inputs of its '
                    "own",
                    file=str(self.file),
                    help=help,
                )


@dataclass
class TorchStage:
    """Layers that are given the same input, which every run holds."""

    walk: TorchWalk
    layers: Sequence[str]
    runs: Sequence[_Run]

    @property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """One group."""
        return {self.layers[0]: self.layers}

    def observe(self, observe: Observe) -> None:
        """Show the input, batch by batch."""
        for run in self.runs:
            part, given = run.seen
            for rows in rows_of(part, given):
                observe(self.layers[0], rows)

    def replace(self, layer: str, weight: Callable[[], NDArray[Any]]) -> None:
        """Write a new weight into the module, which all runs share."""
        with torch.no_grad():
            layer_tensor(named_tensors(self.walk.module), layer).copy_(to_tensor(weight()))


class _Run:
    """The network on one batch, in a thread that goes on when it is told to."""

    def __init__(self, walk: TorchWalk, x: torch.Tensor, plan: Mapping[int, Sequence[str]]) -> None:
        self._walk, self._x, self._plan = walk, x, plan
        self._go, self._there = Semaphore(0), Semaphore(0)
        self._calls, self._stopped = 0, False
        self._error: BaseException | None = None
        self.seen: tuple[nn.Module, torch.Tensor]
        """The layer that the run waits before, and what that is given."""
        self._thread = Thread(target=self._work, daemon=True, name="lottoc walk")
        self._thread.start()

    def go_on(self) -> None:
        """Run up to the next layer of the plan; `wait` says when that is reached."""
        self._go.release()

    def wait(self) -> None:
        """Raises what the network raised."""
        self._there.acquire()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End the thread; nothing happens if it has ended."""
        self._stopped = True
        self._go.release()
        self._thread.join()

    def _work(self) -> None:
        try:
            self._pause()
            module = _twin(self._walk.module)
            with torch.no_grad(), _hooked(module, self._walk.parts, self._called):
                _forward(module, self._x)
            raise self._other("ends before all layers have run")
        except _Stop:
            return
        except BaseException as error:  # is raised where the stages are asked for
            self._error = error
        self._there.release()

    def _pause(self) -> None:
        self._go.acquire()
        if self._stopped:
            raise _Stop

    def _called(self, layer: str, part: nn.Module, given: torch.Tensor | None) -> None:
        if given is None:
            return
        number = self._calls
        self._calls += 1
        calls = self._walk.calls
        if number >= len(calls) or calls[number].layer != layer:
            raise self._other(f'runs layer "{layer}" out of turn')
        if number in self._plan:
            self.seen = part, given
            self._there.release()
            self._pause()

    def _other(self, what: str) -> InputError:
        return input_error(
            "control-flow",
            f"the network does not run the same layers for all examples: it {what}",
            file=str(self._walk.file),
            help=("criteria that look at activations need one order of layers: use  magnitude",),
        )


def _forward(module: Any, x: torch.Tensor) -> None:
    try:
        module(x)
    except InputError:
        raise
    except Exception as error:  # it is the user's code: anything may come
        raise forward_failed(error, x) from error


def _side_by_side(runs: Sequence[_Run]) -> None:
    """Let all runs go on to their next layer, so many at a time as there are processors."""
    some = os.cpu_count() or 1
    for start in range(0, len(runs), some):
        together = runs[start : start + some]
        for run in together:
            run.go_on()
        for run in together:
            run.wait()


def _twin(module: nn.Module) -> nn.Module:
    """A module with the same tensors, which may keep in itself what belongs to its batch."""
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


@contextmanager
def _hooked(
    module: nn.Module,
    parts: Mapping[str, Mapping[str, str]],
    seen: Callable[[str, nn.Module, torch.Tensor | None], None],
) -> Iterator[None]:
    """`seen` is called before each of some parts of a module runs, for each layer in it."""

    def hook(name: str) -> Any:
        def called(part: nn.Module, given: Any, named: Any) -> None:
            for leaf, input in seen_by(part, (given, named), parts[name]):
                seen(parts[name][leaf], part, input)

        return called

    handles = [
        module.get_submodule(name).register_forward_pre_hook(hook(name), with_kwargs=True)
        for name in parts
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _running() -> Iterator[None]:
    """Sums that do not depend on the number of threads, and layers that are called one by one."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with fixed_threads(1):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
