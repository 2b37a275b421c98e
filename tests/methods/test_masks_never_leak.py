"""Every method there is: after every step of every training, what a mask prunes is +0.0.

Under momentum with weight decay, Adam and AdamW; in single precision, under autocast and with
weights in bfloat16; in convolutions that batch norm is folded into; and in modules with several
weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lottoc.diagnostics import Findings
from lottoc.driver import mask_ir, recipe_ir
from lottoc.engine.evaluate import Engine
from lottoc.engine.store import Store
from lottoc.front import Request, front
from lottoc.ir import lotto
from lottoc.methods import METHODS
from lottoc.progress import Silent
from lottoc.training import loop
from lottoc.training.module import load_model
from lottoc.training.state import State

NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.fc1 = nn.Linear(16, 8)
        self.fc2 = nn.Linear(8, 4)
        if kind == "bfloat16":
            self.to(torch.bfloat16)

    def forward(self, x):
        x = x.reshape(len(x), 1, 4, 4).to(self.conv.weight.dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.kind == "autocast"):
            x = torch.relu(self.norm(self.conv(x))).flatten(1)
            x = self.fc2(torch.relu(self.fc1(x)))
        return x.float()

class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)
        self.head = nn.Linear(4, 4)

    def forward(self, x):
        return self.head(self.layer(x.reshape(len(x), 4, 4)).mean(1))

def attention():
    return Tokens()

class Steps(nn.Module):
    def __init__(self):
        super().__init__()
        self.memory, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.memory(x.reshape(len(x), 4, 4))[0][:, -1])

def recurrent():
    return Steps()

def single():
    return Net("single")

def autocast():
    return Net("autocast")

def bfloat16():
    return Net("bfloat16")

def wide():
    layers = nn.Linear(16, 64, bias=False), nn.ReLU(), nn.Linear(64, 4, bias=False)
    return nn.Sequential(*layers)

def small():
    return nn.Sequential(nn.Linear(16, 4, bias=False))
"""
LINES = {
    "one_shot": "layers = all   sparsity = 60%",
    "imp": "layers = all   sparsity = 60%   "
    "method = imp(rounds = 2, rewind = 3 steps, optimizer = keep)",
    "gmp": "layers = all   sparsity = 60%   method = gmp(every = 2 steps)",
    "rigl": "layers = all   sparsity = 60%   method = rigl(every = 2 steps)",
    "set": "layers = all   sparsity = 60%   method = set(every = 2 steps)",
    "srigl": "layers = all   sparsity = 60%   pattern = fanin   method = srigl(every = 2 steps)",
    "sr_ste": "layers = all - conv   pattern = 2:4   method = sr_ste(decay = 0.1)",
    "lota": "layers = all   sparsity = 60%   method = lota(calibrate = 3 steps)",
    "edge_popup": "layers = all   sparsity = 60%   method = edge_popup",
    "subset_sum": "layers = all   method = subset_sum(target = known)",
}
SETTINGS = {
    "single": "sgd(lr = 0.1, momentum = 0.9, weight_decay = 0.1)",
    "autocast": "adam(lr = 0.02, weight_decay = 0.1)",
    "bfloat16": "adamw(lr = 0.02, weight_decay = 0.5)",
    "attention": "adamw(lr = 0.02, weight_decay = 0.1)",
    "recurrent": "adam(lr = 0.02, weight_decay = 0.1)",
}
BEHIND_THE_MASK = ("edge_popup", "sr_ste")
"""Methods whose optimizer moves something that no mask prunes: scores, dense weights."""


def recipe(method: str, network: str) -> str:
    models = f'model net {{ source = torch("nets.py:{network}")   seed = 1 }}'
    ticket = f"ticket t {{ model = net   {LINES[method]} }}"
    if method == "subset_sum":
        models = 'model net { source = torch("nets.py:wide") }\n'
        models += 'model small { source = torch("nets.py:small") }'
        ticket += "\nticket known { model = small   layers = all   sparsity = 20% }"
    return f"""
    {models}
    data blobs {{ train = npz("blobs.npz", x = "x_train", y = "y_train") }}
    training t1 {{ optimizer = {SETTINGS[network]}   batch = 20   length = 10 steps }}
    {ticket}
    """


class Watch:
    """Every training, and the state after each of its steps."""

    def __init__(self) -> None:
        self.trainings: list[tuple[dict[str, Any], State, list[State]]] = []
        self.train = loop.train

    def __call__(self, model: Any, state: State, *rest: Any, **options: Any) -> State:
        states: list[State] = []
        options |= {"checkpoint": states.append, "checkpoint_every": -1}
        final = self.train(model, state, *rest, **options)
        self.trainings.append((options, state, [*states, final]))
        return final


def moments(watch: Watch) -> Iterator[tuple[dict[str, Any], State, State, dict[str, np.ndarray]]]:
    """Each state with the masks that it was under."""
    for options, start, states in watch.trainings:
        for state in states:
            held = {name: mask.to_bool() for name, mask in state.masks().items()}
            masks = held if options.get("moves") else options.get("masks")
            if masks:
                yield options, start, state, masks


def bits(array: np.ndarray) -> np.ndarray:
    return array.view(f"i{array.itemsize}")


def run(project: Path, method: str, network: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    (project / "nets.py").write_text(NETS)
    (project / "r.lotto").write_text(recipe(method, network))
    watch = Watch()
    monkeypatch.setattr(loop, "train", watch)
    request = Request(Path("r.lotto"), Store(project / "s"))
    module = mask_ir(recipe_ir(request, front(request, Findings(), deep=True)[1]))
    engine = Engine(request.store, Silent())
    engine.run(module)
    ticket = next(o for o in module.ops if isinstance(o, lotto.TicketOp) and o.ticket.data == "t")
    state, masks = engine.value(ticket.weights), engine.value(ticket.masks)
    model = next(o for o in module.ops if isinstance(o, lotto.ModelOp) and o.model.data == "net")
    return watch, state, {n: m.to_bool() for n, m in masks.items()}, engine.value(model.result)


def test_every_method_is_here() -> None:
    assert set(LINES) == set(METHODS)


@pytest.mark.parametrize("network", SETTINGS)
@pytest.mark.parametrize("method", METHODS)
def test_pruned_weights_are_zero_at_every_step(
    project: Path, method: str, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, final, masks, model = run(project, method, network, monkeypatch)
    seen = 0
    for options, start, state, under in moments(watch):
        seen += 1
        for name, mask in under.items():
            pruned = bits(state.layer(name))[~mask]
            if options.get("frozen"):
                assert np.array_equal(pruned, bits(start.layer(name))[~mask])
            else:
                assert not pruned.any(), f"{name} after step {state.step}"
            key = state.key(name).removeprefix("model/")
            slots = state.part(f"optimizer/{key}/")
            assert slots
            for key, slot in slots.items():
                if slot.shape == mask.shape and method not in BEHIND_THE_MASK:
                    assert not slot[~mask].any(), f"{key} of {name} after step {state.step}"
    assert seen >= 10, "no training was seen"
    assert any(0 < np.count_nonzero(mask) < mask.size for mask in masks.values())
    if method not in ("lota", "subset_sum"):  # in these masks do not say what of the state is zero
        for name, mask in masks.items():
            assert not bits(final.layer(name))[~mask].any()
        if network not in ("attention", "recurrent"):
            folded(model.build(0), final, masks)


def folded(module: Any, state: State, masks: dict[str, np.ndarray]) -> None:
    """Batch norm scales whole filters: what is zero stays zero."""
    load_model(module, state)
    fused = fuse_conv_bn_eval(module.conv.eval(), module.norm.eval())
    assert not torch.equal(fused.weight, module.conv.weight)
    if "conv" in masks:
        assert not fused.weight.detach().float().numpy()[~masks["conv"]].any()
