"""The callback that docs/attach.md shows, run by Hugging Face's Trainer, stopped and resumed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lottoc

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

DOCS = (Path(__file__).parents[1] / "docs" / "attach.md").read_text()
RECIPE = """
ticket sparse {
  layers   = linear
  scope    = erk
  sparsity = 70%
  method   = rigl(every = 3 steps, drop = 50%)
}
"""
STEPS = 12


class Net(nn.Module):
    """What Trainer wants: a loss first, then scores."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> Any:
        scores = self.body(x)
        return nn.functional.cross_entropy(scores, labels), scores


def documented() -> Any:
    """The class as the page has it."""
    (code,) = re.findall(r"```python\n(from pathlib import Path.*?)```", DOCS, re.S)
    names: dict[str, Any] = {}
    exec(code, names)
    return names["Sparse"]


def examples() -> list[dict[str, Any]]:
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
    return [{"x": row, "labels": int(row[:4].argmax())} for row in x]


def trained(folder: Path, recipe: Path, resume: Path | None, stop: bool) -> tuple[Net, Any]:
    """A training; with `stop`, ended after half of its steps."""
    model = Net()
    ticket = lottoc.attach(model, recipe, "sparse", steps=STEPS)
    arguments = transformers.TrainingArguments(
        str(folder),
        max_steps=STEPS,
        per_device_train_batch_size=8,
        save_steps=STEPS // 2,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        logging_strategy="no",
    )

    class Stop(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if stop and state.global_step == STEPS // 2:
                control.should_training_stop = True

    trainer = transformers.Trainer(
        model,
        arguments,
        train_dataset=examples(),
        callbacks=[documented()(ticket, resume), Stop()],
    )
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    return model, ticket


def test_the_documented_callback(tmp_path: Path) -> None:
    recipe = tmp_path / "r.lotto"
    recipe.write_text(RECIPE)
    begun = lottoc.attach(Net(), recipe, "sparse", steps=STEPS).masks
    whole, ticket = trained(tmp_path / "whole", recipe, None, stop=False)
    assert any(not torch.equal(ticket.masks[n], begun[n]) for n in begun), "masks have moved"
    for name, mask in ticket.masks.items():
        weight = dict(whole.named_modules())[name].weight
        assert (weight[~mask] == 0).all()
        assert mask.sum() == begun[name].sum()

    trained(tmp_path / "half", recipe, None, stop=True)
    half = tmp_path / "half" / f"checkpoint-{STEPS // 2}"
    resumed, again = trained(tmp_path / "half", recipe, half, stop=False)
    for name, mask in ticket.masks.items():
        assert torch.equal(again.masks[name], mask)
    for (name, one), (_, two) in zip(
        whole.state_dict().items(), resumed.state_dict().items(), strict=True
    ):
        assert torch.equal(one, two), name
