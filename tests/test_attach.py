"""`lottoc.attach` in loops that lottoc did not write."""

from __future__ import annotations

import gc
import io
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lottoc
from lottoc.diagnostics import LottoError

RECIPE = """
ticket moving {
  layers   = linear
  scope    = erk
  sparsity = 70%
  method   = rigl(every = 4 steps, drop = 50%)
}
ticket grown  { like = moving   method = set(every = 4 steps) }
ticket slowly { like = moving   method = gmp(every = 4 steps) }
ticket fixed  { like = moving   method = one_shot }
ticket half   { layers = linear   pattern = 2:4   method = sr_ste(decay = 0.01) }
ticket held   { layers = linear   pattern = 2:4   method = srigl(every = 4 steps) }
ticket again  { like = moving   method = imp(rounds = 2) }
stability basin { at = [0] steps }
ticket late   { like = moving   method = imp(rewind = basin.step) }
ticket strong { like = moving   method = edge_popup }
"""
ONCE = ("moving", "grown", "slowly", "fixed", "half", "held")
STEPS = 32


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    stream = torch.Generator().manual_seed(step)
    x = torch.randn(16, 8, generator=stream)
    return x, (x[:, :4].argmax(1))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "r.lotto"
    path.write_text(RECIPE)
    return path


class Loop:
    """A plain PyTorch loop, which can be stopped and written to a file."""

    def __init__(self, recipe: Path, name: str, kind: type[torch.optim.Optimizer]) -> None:
        self.model = network()
        self.ticket = lottoc.attach(self.model, recipe, name, steps=STEPS)
        self.optimizer = kind(self.model.parameters(), lr=0.02)

    def run(self, first: int, last: int) -> None:
        for step in range(first, last):
            x, y = batch(step)
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.model(x), y).backward()
            self.optimizer.step()
            self.ticket.step()

    def save(self) -> io.BytesIO:
        parts = (self.model, self.optimizer, self.ticket)
        torch.save([part.state_dict() for part in parts], file := io.BytesIO())
        file.seek(0)
        return file

    def load(self, file: io.BytesIO) -> None:
        states = torch.load(file, weights_only=True)
        for part, state in zip((self.model, self.optimizer, self.ticket), states, strict=True):
            part.load_state_dict(state)


CASES = [(name, torch.optim.Adam) for name in ONCE] + [("moving", torch.optim.RMSprop)]


@pytest.mark.parametrize(("name", "optimizer"), CASES)
def test_stopped_and_resumed(recipe: Path, name: str, optimizer: Any) -> None:
    whole = Loop(recipe, name, optimizer)
    first = whole.ticket.masks
    whole.run(0, STEPS)
    for cut in (11, 12):
        half = Loop(recipe, name, optimizer)
        half.run(0, cut)
        file = half.save()
        resumed = Loop(recipe, name, optimizer)
        resumed.load(file)
        assert resumed.ticket.done == cut
        resumed.run(cut, STEPS)
        for layer, mask in whole.ticket.masks.items():
            assert torch.equal(mask, resumed.ticket.masks[layer]), f"{layer} cut at {cut}"
        for key, value in whole.model.state_dict().items():
            assert torch.equal(value, resumed.model.state_dict()[key]), f"{key} cut at {cut}"
    if name != "fixed":
        assert any((mask != first[layer]).any() for layer, mask in whole.ticket.masks.items())


@pytest.mark.parametrize("name", ONCE)
def test_nothing_leaks(recipe: Path, name: str) -> None:
    loop = Loop(recipe, name, torch.optim.AdamW)
    for step in range(STEPS):
        loop.run(step, step + 1)
        for layer, mask in loop.ticket.masks.items():
            weight = loop.model.get_submodule(layer).weight
            assert not weight[~mask].any()
            if name != "half":  # whose optimizer moves dense weights
                assert not loop.optimizer.state[weight]["exp_avg"][~mask].any()
    if name in ("moving", "grown", "fixed"):
        assert loop.ticket.sparsity == pytest.approx(0.7, abs=0.01)


def test_the_same_as_a_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same batches, the same recipe: bit for bit what `lottoc compile` trains."""
    from lottoc.diagnostics import Findings
    from lottoc.driver import mask_ir, recipe_ir
    from lottoc.engine.evaluate import Engine
    from lottoc.engine.store import Store
    from lottoc.front import Request, front
    from lottoc.ir import lotto
    from lottoc.progress import Silent
    from lottoc.training.settings import fixed_threads

    monkeypatch.chdir(tmp_path)
    stream = np.random.default_rng(0)
    x, y = stream.normal(size=(40, 8)).astype(np.float32), stream.integers(0, 4, 40)
    np.savez("d.npz", x=x, y=y)
    Path("net.py").write_text(
        "from torch import nn\ndef net():\n"
        "    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))\n"
    )
    Path("r.lotto").write_text(
        'model m { source = torch("net.py:net")   seed = 3 }\n'
        'data d { train = npz("d.npz", x = "x", y = "y") }\n'
        "training loop { optimizer = sgd(lr = 0.1, momentum = 0.9)   batch = 10   length = 24 steps"
        "   clip_norm = 0.5 }\n"
        "ticket t { layers = all   sparsity = 60%   method = rigl(every = 4 steps) }\n"
    )
    request = Request(Path("r.lotto"), Store(tmp_path / "store"))
    module = mask_ir(recipe_ir(request, front(request, Findings(), deep=True)[1]))
    engine = Engine(request.store, Silent())
    engine.run(module)
    op = next(op for op in module.ops if isinstance(op, lotto.TrainSparseOp))
    initial = next(op for op in module.ops if isinstance(op, lotto.InitOp))

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    start = engine.value(initial.result).part("model/")
    model.load_state_dict({n: torch.from_numpy(a.copy()) for n, a in start.items()})
    ticket = lottoc.attach(model, "r.lotto", "t")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, foreach=True)
    with fixed_threads(1):
        for step in range(24):
            epoch, position = divmod(step, 4)
            order = np.random.Generator(np.random.PCG64([0, epoch])).permutation(40)
            rows = order[position * 10 : (position + 1) * 10]
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(
                model(torch.from_numpy(x[rows])), torch.from_numpy(y[rows])
            )
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            ticket.step()
    for name, mask in engine.value(op.masks).items():
        assert np.array_equal(mask.to_bool(), ticket.masks[name].numpy())
    for key, array in engine.value(op.final).part("model/").items():
        assert np.array_equal(array, model.state_dict()[key].numpy()), key


def test_gradients_of_several_backward_passes_add_up(recipe: Path) -> None:
    """Half batches, twice: the same masks as whole batches, and about the same weights."""
    whole = Loop(recipe, "moving", torch.optim.SGD)
    halves = Loop(recipe, "moving", torch.optim.SGD)
    for loop in (whole, halves):
        loop.model[1].eval()  # batch norm would tell half a batch from a whole one
    whole.run(0, 8)
    for step in range(8):
        x, y = batch(step)
        halves.optimizer.zero_grad()
        for part in (slice(0, 8), slice(8, 16)):
            loss = nn.functional.cross_entropy(halves.model(x[part]), y[part]) / 2
            loss.backward()
        halves.optimizer.step()
        halves.ticket.step()
    for layer, mask in whole.ticket.masks.items():
        assert torch.equal(mask, halves.ticket.masks[layer])


def test_a_state_of_other_layers_is_refused(recipe: Path) -> None:
    loop = Loop(recipe, "moving", torch.optim.SGD)
    state = loop.ticket.state_dict()
    state["arrays"]["mask/other"] = state["arrays"].pop("mask/0")
    with pytest.raises(LottoError, match="state-mismatch"):
        loop.ticket.load_state_dict(state)


@pytest.mark.parametrize(
    ("name", "steps", "said"),
    [
        ("again", STEPS, "attach-unsuited.*not found within one training"),
        ("late", STEPS, "attach-unsuited.*not found within one training"),
        ("strong", STEPS, "attach-unsuited.*trains no weight"),
        ("mving", STEPS, 'attach-unsuited.*no ticket "mving"'),
        ("moving", None, "attach-unsuited.*no training"),
    ],
)
def test_what_cannot_be_attached(recipe: Path, name: str, steps: int | None, said: str) -> None:
    with pytest.raises(LottoError, match=f"(?s){said}"):
        lottoc.attach(network(), recipe, name, steps=steps)


def test_epochs_and_data_are_the_users(tmp_path: Path) -> None:
    path = tmp_path / "r.lotto"
    training = "training loop { optimizer = sgd(lr = 0.1)   batch = 10   length = 2 epochs }\n"
    path.write_text(training + "ticket t { layers = all   sparsity = 50%   method = rigl }")
    with pytest.raises(LottoError, match=r"attach-unsuited.*epochs"):
        lottoc.attach(network(), path, "t")
    assert lottoc.attach(network(), path, "t", steps=10).sparsity == pytest.approx(0.5, abs=0.01)
    path.write_text(training + "ticket t { layers = all   sparsity = 50%   criterion = snip }")
    with pytest.raises(LottoError, match=r"attach-unsuited.*looks at data"):
        lottoc.attach(network(), path, "t", steps=10)


def test_a_layer_that_cannot_be_masked_is_named(recipe: Path) -> None:
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(8, 4)))
    with pytest.raises(LottoError, match="torch-layer"):
        lottoc.attach(model, recipe, "moving", steps=10)


def test_detached_it_lets_go(recipe: Path) -> None:
    loop = Loop(recipe, "fixed", torch.optim.SGD)
    alive = weakref.ref(loop.ticket)
    pruned = ~loop.ticket.masks["0"]
    loop.ticket.detach()
    x, y = batch(0)
    nn.functional.cross_entropy(loop.model(x), y).backward()
    assert loop.model[0].weight.grad[pruned].any()
    loop.ticket = None
    gc.collect()
    assert alive() is None


def test_importing_lottoc_loads_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, lottoc; assert 'torch' not in sys.modules; assert callable(lottoc.attach)"
    subprocess.run([sys.executable, "-c", code], check=True)
