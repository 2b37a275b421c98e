"""The engine: what is made, what is found, what a damaged or unfinished result does."""

from __future__ import annotations

from pathlib import Path

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
    assert first.computed == 3  # two masks and a sparsity
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
