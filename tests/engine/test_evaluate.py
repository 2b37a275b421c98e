"""The engine: what is made, what is found, what a damaged or unfinished result does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp

from lottoc.diagnostics import Findings
from lottoc.driver import mask_ir, recipe_ir
from lottoc.engine.evaluate import Engine
from lottoc.engine.keys import Keys
from lottoc.engine.store import Store
from lottoc.front import Request, front
from lottoc.ir import lotto, mask
from lottoc.progress import Silent


def compiled(recipe: str, store: Path) -> tuple[ModuleOp, Store]:
    request = Request(Path(recipe), Store(store))
    _, program = front(request, Findings(), deep=True)
    return mask_ir(recipe_ir(request, program)), request.store


def run(recipe: str, store: Path) -> Engine:
    module, opened = compiled(recipe, store)
    engine = Engine(opened, Silent())
    engine.run(module)
    return engine


def test_results_are_made_once(project: Path) -> None:
    first = run("pruned.lotto", project / "s")
    assert first.computed == 4  # two masks, a sparsity and the wiring
    assert run("pruned.lotto", project / "s").computed == 0


def test_a_damaged_result_is_made_again(project: Path) -> None:
    run("pruned.lotto", project / "s")
    (victim, *_) = sorted((project / "s").glob("*/*.masks"))
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    assert run("pruned.lotto", project / "s").computed == 1
    assert run("pruned.lotto", project / "s").computed == 0


def test_a_result_that_vanishes_during_a_run_is_made_again(project: Path) -> None:
    module, store = compiled("pruned.lotto", project / "s")
    engine = Engine(store, Silent())
    engine.run(module)
    for path in (project / "s").glob("*/*.masks*"):
        path.unlink()
    (bundle,) = [op for op in module.ops if isinstance(op, mask.BundleOp)]
    assert engine.value(bundle.result)["fc1"].kept == 16 * 32 // 2


def test_only_what_is_missing_is_computed(project: Path) -> None:
    """With the final numbers in the store, nothing behind them is looked at."""
    run("trained.lotto", project / "s")
    for path in (project / "s").glob("*/*.state*"):
        path.unlink()
    engine = run("trained.lotto", project / "s")
    assert engine.trained == 2  # θ_10, and from it the weights that the artefact is made of


def test_an_unfinished_training_goes_on_from_its_checkpoint(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lottoc.training.loop as loop

    whole = run("trained.lotto", project / "whole")
    assert whole.trained

    class Killed(Exception):
        pass

    real = loop.train
    starts: list[int] = []

    def killed_in_the_middle(*args: object, **kwargs: object) -> object:
        starts.append(kwargs["start"])  # type: ignore[arg-type]
        save = kwargs["checkpoint"]
        if kwargs["stop"] == 120 and len(starts) == 2:

            def save_then_die(state: object) -> None:
                save(state)  # type: ignore[operator]
                raise Killed

            kwargs["checkpoint"] = save_then_die
            kwargs["checkpoint_every"] = 0.0
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "train", killed_in_the_middle)
    with pytest.raises(Killed):
        run("trained.lotto", project / "killed")
    run("trained.lotto", project / "killed")
    assert starts[2] > starts[1]  # not from its beginning
    stored = [
        {p.name: p.read_bytes() for p in (project / name).glob("*/*.state")}
        for name in ("whole", "killed")
    ]
    assert stored[0]
    assert stored[0] == stored[1]
    assert not list((project / "killed" / "partial").iterdir())


def keys(text: str, project: Path) -> list[str]:
    (project / "r.lotto").write_text(text)
    module, _ = compiled("r.lotto", project / "s")
    known = Keys()
    return [known.of(op) for op in module.ops if isinstance(op, lotto.TrainOp)]


def test_keys_know_meaning_not_names(project: Path) -> None:
    text = (project / "trained.lotto").read_text()
    same = text.replace("winning", "w").replace("blobs {", "b {").replace("sgd {", "training1 {")
    assert keys(text, project) == keys(same, project)


@pytest.mark.parametrize(
    ("old", "new"),
    [("lr = 0.1", "lr = 0.2"), ("seed = 3", "seed = 4"), ("batch = 20", "batch = 10")],
)
def test_keys_change_with_meaning(project: Path, old: str, new: str) -> None:
    text = (project / "trained.lotto").read_text()
    assert not set(keys(text, project)) & set(keys(text.replace(old, new), project))


def test_keys_change_with_the_models_code_and_the_data(project: Path) -> None:
    text = (project / "trained.lotto").read_text()
    before = keys(text, project)
    (project / "net.py").write_text((project / "net.py").read_text() + "\n# another file\n")
    after = keys(text, project)
    assert not set(before) & set(after)
    data = (project / "blobs.npz").read_bytes()
    (project / "blobs.npz").write_bytes(data + b"\0")
    assert not set(after) & set(keys(text, project))


SNIP = """
model net { source = torch("net.py:net") }
data blobs {
  train = npz("blobs.npz", x = "x_train", y = "y_train")
  test  = npz("blobs.npz", x = "x_test",  y = "y_test")
}
ticket global { layers = all   criterion = snip   sparsity = 50% }
ticket layers { layers = all   criterion = snip   sparsity = 80%   scope = layerwise }
"""


def test_what_is_gathered_is_gathered_once(project: Path) -> None:
    """Without a training: the weights themselves, one gradient, two tickets' masks, two numbers."""
    (project / "snip.lotto").write_text(SNIP)
    module, _ = compiled("snip.lotto", project / "s")
    gathers = [op for op in module.ops if isinstance(op, lotto.GatherOp)]
    assert len(gathers) == 1
    first = run("snip.lotto", project / "s")
    assert len(list((project / "s").glob("*/*.statistic"))) == 1
    assert first.trained == 0
    assert run("snip.lotto", project / "s").computed == 0
    (project / "snip.lotto").write_text(SNIP.replace("80%", "70%"))
    layers = len([op for op in module.ops if isinstance(op, mask.KeepOp)])
    assert run("snip.lotto", project / "s").computed == layers + 3  # evaluations of its own


def test_the_statistic_is_that_of_the_recipes_weights_and_data(project: Path) -> None:
    import torch
    from torch.nn import functional

    from lottoc.frontends.torch_model import open_torch

    (project / "snip.lotto").write_text(SNIP.replace("snip ", "snip(samples = 1000) "))
    module, store = compiled("snip.lotto", project / "s")
    engine = Engine(store, Silent())
    engine.run(module)
    (op,) = [op for op in module.ops if isinstance(op, lotto.GatherOp)]
    found = engine.value(op.result)
    reference = open_torch(project / "net.py", "net").build(0)
    data = np.load(project / "blobs.npz")
    x, y = (torch.from_numpy(data[key]) for key in ("x_train", "y_train"))
    functional.cross_entropy(reference(x.float()), y.long()).backward()
    for name in found:
        expected = reference.get_submodule(name).weight.grad.numpy()
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-6)
    scores = np.abs(expected * reference.get_submodule(name).weight.detach().numpy())
    (kept,) = [m for m in module.ops if isinstance(m, mask.KeepOp)][-1:]
    mask_ = engine.value(kept.result).to_bool()
    assert scores[mask_].min() >= scores[~mask_].max() * (1 - 1e-3)


def test_what_is_gathered_under_masks_is_made_once_and_not_kept(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lottoc.statistics.gradient import Gradient

    (project / "r.lotto").write_text(
        (project / "trained.lotto")
        .read_text()
        .replace("layers   = linear", "criterion = snip   layers   = linear")
    )
    gathered: list[int] = []
    real = Gradient.gather

    def counted(self: Gradient, network: object, layers: list[str]) -> object:
        gathered.append(len(network.masks))  # type: ignore[attr-defined]
        return real(self, network, layers)  # type: ignore[arg-type]

    monkeypatch.setattr(Gradient, "gather", counted)
    run("r.lotto", project / "s")
    assert gathered == [0, 2, 2]  # three rounds, the first without masks
    assert len(list((project / "s").glob("*/*.statistic"))) == 1


@pytest.mark.parametrize("change", ["samples = 50", "seed = 1", "norm = running"])
def test_masks_change_with_a_statistics_options(project: Path, change: str) -> None:
    def key(text: str) -> str:
        (project / "r.lotto").write_text(text)
        module, _ = compiled("r.lotto", project / "s")
        (gather,) = [op for op in module.ops if isinstance(op, lotto.GatherOp)]
        return Keys().of(gather)

    text = SNIP.partition("ticket layers")[0]
    assert key(text) == key(text.replace("snip ", "snip(samples = 100) "))
    assert key(text) != key(text.replace("snip ", f"snip({change}) "))
