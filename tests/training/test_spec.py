"""The learning rate as a function of the step, against torch's own schedulers."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR

from lottoc.training.spec import TrainingSpec


def rates(scheduler: LRScheduler, optimizer: torch.optim.Optimizer, steps: int) -> Iterator[float]:
    for _ in range(steps):
        yield optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step()


def optimizer(lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def test_constant() -> None:
    spec = TrainingSpec(steps=5, batch=1, lr=0.3)
    assert [spec.learning_rate(step) for step in range(5)] == [0.3] * 5


def test_cosine_is_torchs() -> None:
    spec, other = TrainingSpec(steps=40, batch=1, lr=0.3, schedule="cosine"), optimizer(0.3)
    expected = list(rates(CosineAnnealingLR(other, T_max=40), other, 40))
    assert [spec.learning_rate(step) for step in range(40)] == pytest.approx(expected, abs=1e-9)


def test_steps_are_torchs() -> None:
    spec = TrainingSpec(steps=20, batch=1, lr=0.3, schedule="step", milestones=(5, 12), gamma=0.2)
    other = optimizer(0.3)
    expected = list(rates(MultiStepLR(other, [5, 12], gamma=0.2), other, 20))
    assert [spec.learning_rate(step) for step in range(20)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_warmup_rises_evenly_to_the_full_rate(schedule: str) -> None:
    spec = TrainingSpec(steps=20, batch=1, lr=0.4, schedule=schedule, warmup=4)
    assert [spec.learning_rate(s) for s in range(5)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4])
    if schedule == "cosine":  # the cosine spans what the warm-up leaves
        assert spec.learning_rate(12) == pytest.approx(0.2)
        assert spec.learning_rate(19) == pytest.approx(0.2 * (1 + math.cos(math.pi * 15 / 16)))


def test_options_are_plain_data() -> None:
    options = {"steps": 9, "batch": 3, "milestones": [2, 4], "betas": [0.8, 0.9]}
    spec = TrainingSpec.from_options(options)
    assert spec == TrainingSpec(steps=9, batch=3, milestones=(2, 4), betas=(0.8, 0.9))
    with pytest.raises(AssertionError, match="momentun"):
        TrainingSpec.from_options({**options, "momentun": 0.9})


def test_no_torch_for_data_and_specifications() -> None:
    code = (
        "import sys; import lottoc.frontends.data, lottoc.training.spec, lottoc.training.state;"
        "import lottoc.frontends.torch_digest, lottoc.frontends.torch_model;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
