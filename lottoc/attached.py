"""A recipe's ticket in a training loop that somebody else wrote.

    ticket = lottoc.attach(model, "recipe.lotto", "name")
    …
    optimizer.step()
    ticket.step()

Everything a compile would do up to the ticket's training is done to the model as it stands: its
first masks are found, and its pruned weights set to zero. From then on gradients of pruned weights
are zero as soon as they are there, and `step` moves the masks when the recipe says so.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from xdsl.ir import Operation, SSAValue

from lottoc.diagnostics import Findings, RecipeError, Source, input_error
from lottoc.engine.evaluate import Engine
from lottoc.engine.sparse import moves_of, starting_masks
from lottoc.engine.store import Store
from lottoc.frontends.torch_layers import UnfitLayer, signature_of
from lottoc.grammar.parser import parse, parse_value
from lottoc.grammar.syntax import Block, Recipe
from lottoc.ir import lotto
from lottoc.lower.check import check
from lottoc.lower.program import Data, Model, Program, Rank, Search, Training, tickets_of
from lottoc.masks.mask import Mask
from lottoc.methods.lab import Duration, FoundStep
from lottoc.recipe_file import read
from lottoc.signature import Signature
from lottoc.training.masked import HeldMasks
from lottoc.training.module import layer_tensor, named_tensors, state_of
from lottoc.training.moving import Masked
from lottoc.training.updates import update_class

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from lottoc.training.state import State

_OWN = "your_model"


class Attached:
    """A ticket that lives in a model. Made by `attach`; `detach` takes it off.

    It is told of every optimizer that moves the model's pruned layers, and clears what that
    remembers of pruned weights.
    """

    def __init__(self, held: HeldMasks, names: list[str]) -> None:
        self._held, self._names = held, names
        self._optimizers: weakref.WeakSet[torch.optim.Optimizer] = weakref.WeakSet()
        self._done = 0
        self._hooks: list[Any] = [
            weight.register_hook(_gradient_hook(self, index))  # type: ignore[no-untyped-call]
            for index, weight in enumerate(held.weights)
        ]
        before, after = weakref.WeakMethod(self._before_step), weakref.WeakMethod(self._after_step)
        self._hooks.append(register_optimizer_step_pre_hook(_weakly(before)))
        self._hooks.append(register_optimizer_step_post_hook(_weakly(after)))
        weakref.finalize(self, _remove, self._hooks)
        held.begin(torch.optim.SGD(held.weights, lr=0.0))

    @property
    def done(self) -> int:
        """How many steps were counted."""
        return self._done

    @property
    def masks(self) -> dict[str, torch.Tensor]:
        """The mask of each layer by its name, True where a weight is kept."""
        named = zip(self._names, self._held.masks, strict=True)
        return {name: torch.from_numpy(mask.copy()) for name, mask in named}

    @property
    def sparsity(self) -> float:
        """The share of zeros among the weights of the ticket's layers."""
        kept = sum(int(np.count_nonzero(mask)) for mask in self._held.masks)
        return 1 - kept / sum(mask.size for mask in self._held.masks)

    def step(self) -> None:
        """Count a step; call it after each step of the optimizer."""
        self._done += 1
        self._held.after_step(self._done, *self._optimizers)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs beside the model's and the optimizer's own states."""
        arrays = {name: torch.from_numpy(a.copy()) for name, a in self._held.arrays().items()}
        return {"done": self._done, "arrays": arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint, with the model and the optimizer loaded already.

        Raises `InputError` (state-mismatch) if the state is of other layers.
        """
        arrays = {name: tensor.numpy() for name, tensor in state["arrays"].items()}
        if set(arrays) != set(self._held.arrays()):
            raise input_error(
                "state-mismatch",
                "this state is of a ticket with other layers",
                help=("attach the same ticket of the same recipe to the same network",),
            )
        self._held.restore(arrays)
        self._done = int(state["done"])

    def detach(self) -> None:
        """Let go of the model; its pruned weights stay zero until something moves them."""
        _remove(self._hooks)
        self._hooks.clear()

    def _gradient(self, index: int, gradient: torch.Tensor) -> torch.Tensor:
        return self._held.incoming(index, gradient, self._done + 1)

    def _before_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self._moves(optimizer):
            self._held.before_step()

    def _after_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self._moves(optimizer):
            self._optimizers.add(optimizer)

    def _moves(self, optimizer: torch.optim.Optimizer) -> bool:
        mine = {id(weight) for weight in self._held.weights}
        return any(id(p) in mine for group in optimizer.param_groups for p in group["params"])


def _weakly(method: weakref.WeakMethod[Any]) -> Any:
    """A hook that every optimizer of the process calls, as long as the ticket lives."""

    def hook(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        alive = method()
        if alive is not None:
            alive(optimizer)

    return hook


def _remove(hooks: list[Any]) -> None:
    for hook in hooks:
        hook.remove()


def _gradient_hook(ticket: Attached, index: int) -> Any:
    """Without a reference that would keep the ticket alive as long as the model."""
    reference = weakref.ref(ticket)

    def hook(gradient: torch.Tensor) -> torch.Tensor:
        alive = reference()
        return gradient if alive is None else alive._gradient(index, gradient)

    return hook


def attach(
    model: nn.Module,
    recipe: str | os.PathLike[str],
    name: str,
    *,
    steps: int | None = None,
    defines: Mapping[str, str] | None = None,
) -> Attached:
    """Attach the ticket `name` of a recipe to a model that is about to be trained.

    The recipe is one that `lottoc compile` takes, or a shorter one: the `model`, `data` and
    `training` blocks may be missing, and are not looked into but for the training's length,
    which `steps` replaces. `defines` are values of its params. The ticket's method must train
    once, from the start: `one_shot`, `gmp`, `rigl`, `set`, `srigl`, `sr_ste`.

    The loop is in one process. Raises `RecipeError` for a wrong recipe (attach-unsuited for one
    whose ticket cannot be had this way), `InputError` for a file that cannot be read or a layer
    that cannot be masked (torch-layer).
    """
    source = read(Path(recipe))
    catalog = _OneModel(_signature(model))
    program = _program(source, catalog, name, steps, defines or {})
    from lottoc.driver import mask_ir
    from lottoc.lower.to_ir import lower

    module = mask_ir(lower(program, catalog))
    with tempfile.TemporaryDirectory() as folder:
        engine = _Bound(Store(Path(folder)), model)
        return _attached(model, _training(module, name), engine)


def _attached(
    model: nn.Module, op: lotto.TrainOp | lotto.TrainSparseOp, engine: _Bound
) -> Attached:
    named = named_tensors(model)
    if isinstance(op, lotto.TrainSparseOp):
        if not getattr(update_class(op.update.data), "trains_weights", True):
            raise _unsuited(
                f"{op.update.data} trains no weight: a loop of your own has nothing to train",
                "compile the recipe",
            )
        masks = {n: m.to_bool() for n, m in starting_masks(op, engine.value).items()}
        moves = moves_of(op, masks)
        layers = [_masked(named, n, m, moves.budgets[n]) for n, m in masks.items()]
        return Attached(moves.update.held(layers), list(masks))
    assert op.masks is not None
    fixed: Mapping[str, Mask] = engine.value(op.masks)
    layers = [_masked(named, n, m.to_bool(), m.kept) for n, m in fixed.items()]
    return Attached(HeldMasks((x.weight, x.mask) for x in layers), list(fixed))


def _masked(named: Mapping[str, torch.Tensor], name: str, mask: Any, budget: int) -> Masked:
    weight = layer_tensor(named, name)
    assert isinstance(weight, nn.Parameter)
    return Masked(name, weight, mask, budget)


def _signature(model: nn.Module) -> Signature:
    try:
        return signature_of(model)
    except UnfitLayer as error:
        raise input_error("torch-layer", str(error)) from error


@dataclasses.dataclass(frozen=True)
class _OneModel:
    """A catalog that knows one model, under every name, and no data."""

    signature_: Signature

    def signature(self, *_: Any) -> tuple[Signature, str]:
        return self.signature_, _OWN

    def open_inputs(self, path: Path) -> list[str]:
        return []

    def best(self, rank: Rank, models: Mapping[str, Model], data: Data) -> str:
        return rank.models[0]

    def explore(self, search: Search, data: Data, training: Training) -> Search:
        raise _unsuited("a search is not run here", "take the search out of the recipe")

    def digest(self, data: Data) -> str:
        return _OWN

    def examples(self, data: Data, split: str) -> int:
        raise _unsuited("a length in epochs is not known here", "say  attach(…, steps = 1000)")

    def reads(self, model: Model, data: Data | None) -> dict[str, int]:
        raise _unsuited(
            "the pattern puts channels in another order, and the network is not exported here",
            "take a pattern that leaves them where they are",
        )


def _unsuited(message: str, help: str) -> RecipeError:
    from lottoc.diagnostics import Diagnostic

    return RecipeError([Diagnostic("attach-unsuited", message, help=(help,))])


def _not_once(name: str) -> RecipeError:
    return _unsuited(
        f'"{name}" is not found within one training',
        "attach a ticket whose method is one_shot, gmp, rigl, set, srigl or sr_ste",
    )


def _program(
    source: Source,
    catalog: _OneModel,
    name: str,
    steps: int | None,
    defines: Mapping[str, str],
) -> Program:
    """The ticket and what it is like, with the blocks that the recipe leaves out."""
    findings = Findings()
    values = {n: parse_value(Source(f"defines {n}", text)) for n, text in defines.items()}
    recipe = _completed(parse(source), steps)
    program = check(recipe, Path(source.name).parent, catalog, values, findings)
    findings.raise_errors()
    assert program is not None
    if name not in program.tickets:
        from lottoc.diagnostics import did_you_mean

        raise _unsuited(f'the recipe has no ticket "{name}"', *did_you_mean(name, program.tickets))
    ticket = program.tickets[name]
    trainings = dict(program.trainings)
    if steps is not None and ticket.training is not None:
        length = Duration(steps, "steps")
        trainings[ticket.training] = dataclasses.replace(trainings[ticket.training], length=length)
    needed = _closure(program, name)
    tickets = {n: t for n, t in program.tickets.items() if n in needed}
    for found in (t.found for t in tickets.values() if t.found is not None):
        if isinstance(getattr(found.method, "rewind", None), FoundStep):
            raise _not_once(name)
    alone: dict[str, Any] = {
        "requirements": (),
        "emits": (),
        "sanities": (),
        "ranks": (),
        "searches": (),
        "stabilities": {},
    }
    return dataclasses.replace(program, trainings=trainings, tickets=tickets, **alone)


def _closure(program: Program, name: str) -> set[str]:
    needed, pending = set[str](), [name]
    while pending:
        ticket = program.tickets[pending.pop()]
        if ticket.name not in needed:
            needed.add(ticket.name)
            pending += [*tickets_of(ticket.mask), *filter(None, (ticket.like, ticket.onto))]
    return needed


_BLOCKS = {
    "model": 'model your_model { source = torch("your_model.py:your_model") }',
    "data": """data your_data {
      train = npz("your_data.npz", x = "x", y = "y")
      test  = npz("your_data.npz", x = "x", y = "y")
    }""",
    "training": "training your_loop { optimizer = sgd(lr = 1)  batch = 1  length = %d steps }",
}


def _completed(recipe: Recipe, steps: int | None) -> Recipe:
    kinds = {item.kind for item in recipe.items if isinstance(item, Block)}
    missing = [kind for kind in _BLOCKS if kind not in kinds]
    if "training" in missing and steps is None:
        raise _unsuited("the recipe has no training", "say  attach(…, steps = 1000)")
    words = {kind: text % (steps or 1) if "%d" in text else text for kind, text in _BLOCKS.items()}
    text = "\n".join(words[kind] for kind in missing)
    extra = parse(Source("attach", text)).items if missing else ()
    return dataclasses.replace(recipe, items=(*recipe.items, *extra))


def _training(module: ModuleOp, name: str) -> lotto.TrainOp | lotto.TrainSparseOp:
    """The one training of a ticket, from step 0 and from the model's own weights."""
    tickets = (op for op in module.ops if isinstance(op, lotto.TicketOp))
    ticket = next(op for op in tickets if op.ticket.data == name)
    op = ticket.weights.owner
    once = isinstance(op, lotto.TrainOp | lotto.TrainSparseOp) and (
        op.first.value.data == 0 and isinstance(op.weights.owner, lotto.InitOp)
    )
    masks = op.under if isinstance(op, lotto.TrainSparseOp) else getattr(op, "masks", None)
    needs_none = isinstance(op, lotto.TrainSparseOp)
    if not once or (masks is None and not needs_none) or _trained(masks):
        raise _not_once(name)
    assert isinstance(op, lotto.TrainOp | lotto.TrainSparseOp)
    return op


def _trained(masks: SSAValue | None) -> bool:
    """Whether some training comes before these masks."""
    pending, seen = [masks], set[Operation]()
    while pending:
        value = pending.pop()
        if value is None or not isinstance(value.owner, Operation) or value.owner in seen:
            continue
        if isinstance(value.owner, lotto.TRAININGS):
            return True
        seen.add(value.owner)
        pending += value.owner.operands
    return False


class _Bound(Engine):
    """An engine whose model is there already, with its weights as they are."""

    def __init__(self, store: Store, model: nn.Module) -> None:
        from lottoc.progress import Silent

        super().__init__(store, Silent())
        self.model = model

    def value(self, value: SSAValue) -> Any:
        """As the module says, but for the model and data it has none of."""
        if isinstance(value.owner, lotto.ModelOp):
            return self
        if isinstance(value.owner, lotto.DataOp):
            raise _unsuited(
                "the ticket's criterion looks at data, and the data are yours",
                "take  criterion = magnitude  or  criterion = random",
            )
        return super().value(value)

    def initial_state(self, seed: int) -> State:
        """The model's weights, whatever the seed."""
        return state_of(self.model, None, 0)
